//! Send a message to a chat.

mod together;

use std::sync::Arc;

use shared::{
    ChatId, MessageId, SessionId, UserId,
    event::{AnswerFlushed, Event},
    message::{Message, SendMessage},
    problem::Reason,
    text::{ClientKey, Metadata},
    topic::Topic,
};

use super::{rules, store};
use crate::{
    db::Lanes,
    error::{Error, Result},
    features::{Backend, Caller, Way, media::attach::Named, presence, search},
    limits::Limited,
    telemetry::metrics::Metrics,
    telemetry::traces::Cause,
};

/// How often to look for the first message with a key whose fate was not decided yet when we looked.
const LOOKS: usize = 3;

/// Where messages wait to be written, with others of their kind: those that one statement writes do not wait for transactions.
#[derive(Debug)]
pub struct Sends {
    plain: Lanes<Arc<Draft>, Outcome>,
    others: Lanes<Arc<Draft>, Outcome>,
}

impl Sends {
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            plain: Lanes::new(metrics),
            others: Lanes::new(metrics),
        }
    }

    /// More is asked than is written at this moment.
    pub fn are_waiting(&self) -> bool {
        self.plain.are_waiting() || self.others.are_waiting()
    }

    async fn ask(&self, draft: &Arc<Draft>) -> Result<Outcome> {
        let lanes = if draft.is_plain() {
            &self.plain
        } else {
            &self.others
        };
        lanes.ask(draft.chat, draft.clone(), draft.size()).await
    }
}

/// A message that is to be sent, made harmless.
#[derive(Debug)]
pub struct Draft {
    pub(super) sender: UserId,
    pub(super) chat: ChatId,
    pub(super) content: String,
    pub(super) search_text: String,
    pub(super) metadata: Metadata,
    /// The images in it, each with where it is named.
    pub(super) images: Vec<(String, Named)>,
    pub(super) reply_to: Option<MessageId>,
    pub(super) key: Option<ClientKey>,
    pub(super) held_for: Option<SessionId>,
    pub(super) cause: Option<Arc<Cause>>,
}

/// What became of a draft.
#[derive(Debug)]
pub enum Outcome {
    Sent(Box<Message>),
    /// Its sender has used its key before, or is using it at this moment.
    KeyIsTaken,
}

/// What became of a request to send.
#[derive(Debug)]
pub struct Sent {
    pub message: Message,
    /// It had been sent before, with the same key.
    pub is_replay: bool,
}

pub async fn send(backend: &Backend, caller: &Caller, chat: ChatId, ask: SendMessage) -> Result<Sent> {
    backend.limits.check(Limited::SendMessage, caller.user).await?;
    let draft = Arc::new(Draft::of(caller, chat, ask)?);
    for _ in 0..LOOKS {
        match backend.sends.ask(&draft).await? {
            Outcome::Sent(message) => {
                presence::typing::stop(backend, caller.user, chat)?;
                return Ok(Sent {
                    message: *message,
                    is_replay: false,
                });
            }
            Outcome::KeyIsTaken => {
                if let Some(message) = Box::pin(first_with_key(backend, &draft)).await? {
                    return Ok(Sent {
                        message,
                        is_replay: true,
                    });
                }
            }
        }
    }
    Err(Error::unavailable(
        "somebody uses one key again and again at once",
    ))
}

/// Send what waits, for ever.
pub async fn keep_sending(backend: Arc<Backend>) {
    let work = {
        let backend = backend.clone();
        move |drafts| {
            let backend = backend.clone();
            async move { together::send(&backend, drafts).await }
        }
    };
    tokio::join!(
        backend.sends.plain.run(&backend.tasks, work.clone()),
        backend.sends.others.run(&backend.tasks, work),
    );
}

/// The answer to a request that sent this message has been written: the sender's own sockets may be told of it now.
pub fn answered(backend: &Backend, caller: &Caller, message: &Message) -> Result<()> {
    let flushed = AnswerFlushed {
        chat_id: message.chat_id,
        session_id: caller.session,
        upto: message.seq,
    };
    backend
        .bus
        .publish_passing([Topic::User(caller.user)], &Event::AnswerFlushed(flushed))
}

/// A retry is answered with what was sent first, whatever became of the relation since.
async fn first_with_key(backend: &Backend, draft: &Draft) -> Result<Option<Message>> {
    let Some(key) = &draft.key else { return Ok(None) };
    let mut tx = backend.begin().await?;
    match store::by_client_key(&mut tx, draft.sender, key).await? {
        Some((id, chat)) if chat == draft.chat => {
            store::message(&mut tx, &backend.settings, id).await.map(Some)
        }
        Some(_) => Err(Error::Conflict(Reason::ClientKeyReused)),
        None => Ok(None),
    }
}

impl Draft {
    fn of(caller: &Caller, chat: ChatId, ask: SendMessage) -> Result<Self> {
        let images = rules::images_named(&ask)?;
        let content = rules::harmless(&ask.content);
        Ok(Self {
            sender: caller.user,
            chat,
            search_text: search::folded(&rules::text_of(&content)),
            content,
            metadata: ask.metadata,
            images,
            reply_to: ask.reply_to_id,
            key: ask.client_message_id,
            held_for: (caller.way == Way::Request).then_some(caller.session),
            cause: Cause::current(),
        })
    }

    /// It neither answers a message nor shows images.
    fn is_plain(&self) -> bool {
        self.reply_to.is_none() && self.images.is_empty()
    }

    /// About how much memory it takes up.
    fn size(&self) -> usize {
        size_of::<Self>() + self.content.len() + self.search_text.len() + self.metadata.json().len()
    }
}
