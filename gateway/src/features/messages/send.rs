//! Send a message to a chat.

use shared::{
    ChatId, MessageId,
    event::{AnswerFlushed, Event},
    message::{ContentType, DeliveryStatus, Message, ReadCount, SendMessage},
    problem::Reason,
    topic::Topic,
};

use super::{may_speak, rules, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller, Way, chats, presence, search},
    limits::Limited,
};

/// What became of it.
#[derive(Debug)]
pub struct Sent {
    pub message: Message,
    /// It had been sent before, with the same key.
    pub is_replay: bool,
}

pub async fn send(backend: &Backend, caller: &Caller, chat: ChatId, ask: SendMessage) -> Result<Sent> {
    backend.limits.check(Limited::SendMessage, caller.user).await?;
    let mut tx = backend.begin().await?;
    let place = chats::member_place(&mut tx, caller.user, chat).await?;
    // A retry is answered whatever became of the relation since.
    if let Some(key) = &ask.client_message_id
        && store::by_client_key(&mut tx, caller.user, key).await?.is_some()
    {
        drop(tx);
        return replay(backend, caller, chat, &ask).await;
    }
    may_speak(&mut tx, caller, &place).await?;
    if let Some(original) = ask.reply_to_id
        && !store::hold_original(&mut tx, original, chat).await?
    {
        return Err(Error::invalid("replyToId", "must be a message of this chat"));
    }
    let content = rules::harmless(&ask.content);
    let frame = store::frame(&mut tx, &backend.settings, caller.user, chat, ask.reply_to_id).await?;
    // From here on, others who want to say something in this chat wait.
    let spot = tx.next_place(Topic::Chat(chat), backend.clock.now()).await?;
    let message = Message {
        id: MessageId::new(),
        chat_id: chat,
        sender_id: Some(caller.user),
        sender: Some(frame.sender),
        content,
        content_type: ContentType::Text,
        metadata: ask.metadata.clone().into(),
        reply_to_id: ask.reply_to_id,
        reply_to: frame.quote,
        is_edited: false,
        edited_at: None,
        is_deleted: false,
        deleted_at: None,
        created_at: spot.at,
        seq: spot.seq,
        reactions: Vec::new(),
        delivery_status: DeliveryStatus::Sent,
        read_count: ReadCount {
            total: frame.recipients,
            read: 0,
        },
        attachments: [],
    };
    let search_text = search::folded(&rules::text_of(&message.content));
    if !store::insert(&mut tx, &message, &search_text, ask.client_message_id.as_ref()).await? {
        // The key is taken, and the first message is the answer; or they are not in the chat any more. The place is given back with
        // the transaction.
        drop(tx);
        return replay(backend, caller, chat, &ask).await;
    }
    let held_for = (caller.way == Way::Request).then_some(caller.session);
    tx.record_held(spot, &Event::MessageSent(message.clone()), held_for)
        .await?;
    tx.commit().await?;
    presence::typing::stop(backend, caller.user, chat)?;
    Ok(Sent {
        message,
        is_replay: false,
    })
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

async fn replay(backend: &Backend, caller: &Caller, chat: ChatId, ask: &SendMessage) -> Result<Sent> {
    let Some(key) = &ask.client_message_id else {
        return Err(Error::Forbidden(Reason::ChatLeft));
    };
    let mut tx = backend.begin().await?;
    let first = store::by_client_key(&mut tx, caller.user, key).await?;
    match first {
        Some((id, of_chat)) if of_chat == chat => Ok(Sent {
            message: store::message(&mut tx, &backend.settings, id).await?,
            is_replay: true,
        }),
        Some(_) => Err(Error::Conflict(Reason::ClientKeyReused)),
        None => Err(Error::Forbidden(Reason::ChatLeft)),
    }
}
