//! Send what several people say, in one transaction: whoever may not is refused, and all others are heard.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use shared::{
    MessageId,
    event::Kind,
    media::Attachment,
    message::{ContentType, DeliveryStatus, Message, Quote, ReadCount},
    problem::Reason,
    topic::{Seq, Topic},
};
use sqlx::PgConnection;

use super::{Draft, Outcome};
use crate::{
    bus::Envelope,
    db::Tx,
    error::{Error, Result},
    features::{
        Backend, chats,
        media::attach,
        messages::{
            rules,
            store::{self, New, Sender},
        },
    },
};

/// How often to begin again because somebody was removed, or a key was used, while we were at it.
const ATTEMPTS: usize = 5;

pub async fn send(backend: &Backend, drafts: Vec<Arc<Draft>>) -> Result<Vec<Result<Outcome>>> {
    for _ in 0..ATTEMPTS {
        if let Some(outcomes) = attempt(backend, &drafts).await? {
            return Ok(outcomes);
        }
    }
    Err(Error::unavailable("too much happens at once in these chats"))
}

/// A draft that nothing speaks against so far.
struct Candidate<'a> {
    number: usize,
    draft: &'a Draft,
    sender: Sender,
    quote: Option<Quote>,
    images: Vec<Attachment>,
}

/// All drafts of a transaction: what remains of them, and what was decided about the others.
struct Batch<'a> {
    left: Vec<Candidate<'a>>,
    decided: Vec<Option<Result<Outcome>>>,
}

impl<'a> Batch<'a> {
    fn new(drafts: &'a [Arc<Draft>], senders: Vec<Sender>) -> Self {
        let candidates = drafts.iter().zip(senders).enumerate();
        let left = candidates.map(|(number, (draft, sender))| Candidate {
            number,
            draft,
            sender,
            quote: None,
            images: Vec::new(),
        });
        Self {
            left: left.collect(),
            decided: drafts.iter().map(|_| None).collect(),
        }
    }

    /// Take out those that `judge` decides about.
    fn sift(&mut self, mut judge: impl FnMut(&mut Candidate<'a>) -> Option<Result<Outcome>>) {
        let decided = &mut self.decided;
        self.left.retain_mut(|candidate| {
            let verdict = judge(candidate);
            let stays = verdict.is_none();
            decided[candidate.number] = verdict;
            stays
        });
    }

    /// Those that are left, as messages whose places are not known yet.
    fn new_messages(&mut self, now: DateTime<Utc>) -> Result<Vec<New<'a>>> {
        let left = self.left.drain(..);
        left.map(|candidate| {
            let (number, draft, partner) = (candidate.number, candidate.draft, candidate.sender.partner());
            let message = message(candidate, now);
            let open_json = message.open_json().map_err(Error::internal)?;
            Ok(New {
                number,
                draft,
                partner,
                message,
                open_json,
            })
        })
        .collect()
    }

    /// They are kept at these places. What is told of them comes back.
    fn sent(&mut self, new: Vec<New<'a>>, places: Vec<(Seq, DateTime<Utc>)>) -> Vec<Envelope> {
        let told = new.into_iter().zip(places).map(|(new, (seq, at))| {
            let message = Message {
                seq,
                created_at: at,
                ..new.message
            };
            self.decided[new.number] = Some(Ok(Outcome::Sent(Box::new(message))));
            Envelope {
                topic: Topic::Chat(new.draft.chat),
                seq,
                kind: Kind::MessageSent.name().into(),
                held_for: new.draft.held_for,
                cause: new.draft.cause.clone(),
                // Set when it is told.
                at: DateTime::default(),
                body: (new.open_json + &Message::place_json(at, seq)).into(),
            }
        });
        told.collect()
    }

    fn outcomes(self) -> Result<Vec<Result<Outcome>>> {
        let outcomes = self.decided.into_iter();
        outcomes
            .map(|outcome| outcome.ok_or_else(|| Error::internal("a draft that nobody decided about")))
            .collect()
    }
}

/// Nothing, if what was true before the chats were locked was not true behind their locks: then nothing has been written.
async fn attempt(backend: &Backend, drafts: &[Arc<Draft>]) -> Result<Option<Vec<Result<Outcome>>>> {
    if drafts.iter().all(|draft| draft.is_plain()) {
        at_once(backend, drafts).await
    } else {
        in_transaction(backend, drafts).await
    }
}

async fn at_once(backend: &Backend, drafts: &[Arc<Draft>]) -> Result<Option<Vec<Result<Outcome>>>> {
    let mut change = backend.at_once().await?;
    let mut batch = judged(backend, change.conn(), drafts).await?;
    if batch.left.is_empty() {
        change.undone();
        return batch.outcomes().map(Some);
    }
    let new = batch.new_messages(backend.clock.now())?;
    match store::keep(change.write(), &new, backend.clock.now()).await? {
        Some(places) => {
            change.done(batch.sent(new, places));
            batch.outcomes().map(Some)
        }
        None => {
            change.undone();
            Ok(None)
        }
    }
}

/// What depends on something that others may change or take meanwhile needs more than one statement.
async fn in_transaction(backend: &Backend, drafts: &[Arc<Draft>]) -> Result<Option<Vec<Result<Outcome>>>> {
    let mut tx = backend.begin().await?;
    let mut batch = judged(backend, tx.conn(), drafts).await?;
    quote_originals(backend, &mut tx, &mut batch).await?;
    hold_images(backend, &mut tx, &mut batch).await?;
    if batch.left.is_empty() {
        return batch.outcomes().map(Some);
    }
    let new = batch.new_messages(backend.clock.now())?;
    let Some(places) = store::keep(tx.conn(), &new, backend.clock.now()).await? else {
        return Ok(None);
    };
    let images = new
        .iter()
        .map(|new| (new.message.id, new.message.attachments.as_slice()));
    attach::give(&mut tx, images).await?;
    tx.recorded(batch.sent(new, places));
    tx.commit().await?;
    batch.outcomes().map(Some)
}

/// The drafts without those that somebody may not send, or has sent.
async fn judged<'a>(
    backend: &Backend,
    conn: &mut PgConnection,
    drafts: &'a [Arc<Draft>],
) -> Result<Batch<'a>> {
    let senders = store::senders(conn, &backend.settings, drafts).await?;
    let mut batch = Batch::new(drafts, senders);
    let mut keys = HashSet::new();
    batch.sift(|candidate| {
        let Candidate { draft, sender, .. } = candidate;
        if let Err(error) = chats::member(sender.place) {
            return Some(Err(error));
        }
        // Of two drafts with one key, the second is the retry.
        let is_new = |key| keys.insert((draft.sender, key));
        let is_taken = sender.key_is_taken || !draft.key.as_deref().is_none_or(is_new);
        is_taken.then_some(Ok(Outcome::KeyIsTaken))
    });
    batch.sift(|candidate| may_write(&candidate.sender).err().map(Err));
    Ok(batch)
}

/// In a direct chat one writes only as long as the two are contacts and none has blocked the other.
fn may_write(sender: &Sender) -> Result<()> {
    let reason = match sender.partner() {
        Some(_) if !sender.are_contacts => Reason::NotContacts,
        Some(_) if sender.are_blocked => Reason::Unreachable,
        _ => return Ok(()),
    };
    Err(Error::Forbidden(reason))
}

/// Whoever answers a message shows what it says. It says so until the end of the transaction.
async fn quote_originals(backend: &Backend, tx: &mut Tx, batch: &mut Batch<'_>) -> Result<()> {
    let answered = |candidate: &Candidate<'_>| Some((candidate.draft.reply_to?, candidate.draft.chat));
    let originals: BTreeSet<_> = batch.left.iter().filter_map(answered).collect();
    if originals.is_empty() {
        return Ok(());
    }
    let quotes = store::hold_originals(tx, &backend.settings, &originals).await?;
    batch.sift(|candidate| {
        candidate.quote = quotes.get(&answered(candidate)?).cloned();
        let is_there = candidate.quote.is_some();
        (!is_there).then(|| Err(Error::invalid("replyToId", "must be a message of this chat")))
    });
    Ok(())
}

/// Whoever shows images must have uploaded them, and no message shows them yet. None takes them until the end of the transaction.
async fn hold_images(backend: &Backend, tx: &mut Tx, batch: &mut Batch<'_>) -> Result<()> {
    let wanted: Vec<_> = batch
        .left
        .iter()
        .map(|candidate| (candidate.draft.sender, &*candidate.draft.images))
        .collect();
    if wanted.iter().all(|(_, images)| images.is_empty()) {
        return Ok(());
    }
    let held = attach::hold(tx, &backend.settings, &wanted).await?;
    let users: Vec<MessageId> = held
        .iter()
        .filter_map(|images| images.as_ref().err()?.used_by())
        .collect();
    // Whoever took them may be the same send, which came twice at once.
    let keys = store::keys_of(tx, &users).await?;
    let mut held = held.into_iter();
    batch.sift(|candidate| match held.next()? {
        Ok(images) => {
            candidate.images = images;
            None
        }
        Err(unfit) => {
            let key = unfit.used_by().and_then(|message| keys.get(&message));
            let is_retry = key.is_some_and(|key| candidate.draft.key.as_deref() == Some(key));
            Some(if is_retry {
                Ok(Outcome::KeyIsTaken)
            } else {
                Err(unfit.into())
            })
        }
    });
    Ok(())
}

/// Its place is not known yet.
fn message(candidate: Candidate<'_>, now: DateTime<Utc>) -> Message {
    let draft = candidate.draft;
    let id = MessageId::new();
    let metadata = rules::with_images(&draft.metadata, &candidate.images);
    let images = candidate.images.into_iter().map(|image| Attachment {
        message_id: Some(id),
        ..image
    });
    let attachments: Vec<_> = images.collect();
    Message {
        id,
        chat_id: draft.chat,
        sender_id: Some(draft.sender),
        sender: Some(candidate.sender.person),
        content: draft.content.clone(),
        content_type: if attachments.is_empty() {
            ContentType::Text
        } else {
            ContentType::Image
        },
        metadata,
        reply_to_id: draft.reply_to,
        reply_to: candidate.quote,
        is_edited: false,
        edited_at: None,
        is_deleted: false,
        deleted_at: None,
        reactions: Vec::new(),
        delivery_status: DeliveryStatus::Sent,
        read_count: ReadCount {
            total: candidate.sender.recipients,
            read: 0,
        },
        attachments,
        created_at: now,
        seq: 0,
    }
}
