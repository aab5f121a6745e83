//! Send what several people say, in one transaction: whoever may not is refused, and all others are heard.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use shared::{
    MessageId, UserId,
    event::Event,
    media::Attachment,
    message::{ContentType, DeliveryStatus, Message, Quote, ReadCount},
    problem::Reason,
    topic::Topic,
};

use super::{Draft, Outcome};
use crate::{
    db::{Place, Tx},
    error::{Error, Result},
    features::{
        Backend, chats, contacts,
        media::attach,
        messages::{
            rules,
            store::{self, Sender},
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

    fn outcomes(self) -> Result<Vec<Result<Outcome>>> {
        let outcomes = self.decided.into_iter();
        outcomes
            .map(|outcome| outcome.ok_or_else(|| Error::internal("a draft that nobody decided about")))
            .collect()
    }
}

/// Nothing, if what was true before the chats were locked was not true behind their locks: then nothing has been written.
async fn attempt(backend: &Backend, drafts: &[Arc<Draft>]) -> Result<Option<Vec<Result<Outcome>>>> {
    let mut tx = backend.begin().await?;
    let senders = store::senders(&mut tx, &backend.settings, drafts).await?;
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
    check_relations(&mut tx, &mut batch).await?;
    quote_originals(backend, &mut tx, &mut batch).await?;
    hold_images(backend, &mut tx, &mut batch).await?;
    if batch.left.is_empty() {
        return batch.outcomes().map(Some);
    }

    // From here on, others who want to say something in these chats wait.
    let topics: Vec<Topic> = batch
        .left
        .iter()
        .map(|candidate| Topic::Chat(candidate.draft.chat))
        .collect();
    let places = tx.next_places(&topics, backend.clock.now()).await?;
    let candidates = std::mem::take(&mut batch.left);
    let mut sent = Vec::with_capacity(candidates.len());
    for (candidate, place) in candidates.into_iter().zip(places) {
        let (number, draft) = (candidate.number, candidate.draft);
        sent.push((
            number,
            draft,
            place,
            Event::MessageSent(message(candidate, place)),
        ));
    }
    if !store::insert(&mut tx, sent.iter().map(|(_, draft, _, event)| (*draft, event))).await? {
        // A key was taken, or somebody is not in their chat any more. The places are given back with the transaction.
        return Ok(None);
    }
    let images = sent.iter().filter_map(|(.., event)| match event {
        Event::MessageSent(message) => Some((message.id, message.attachments.as_slice())),
        _ => None,
    });
    attach::give(&mut tx, images).await?;
    let events = sent
        .iter()
        .map(|(_, draft, place, event)| (*place, event, draft.held_for));
    tx.record_held(events).await?;
    tx.commit().await?;
    for (number, .., event) in sent {
        if let Event::MessageSent(message) = event {
            batch.decided[number] = Some(Ok(Outcome::Sent(Box::new(message))));
        }
    }
    batch.outcomes().map(Some)
}

/// In a direct chat one writes only as long as the two are contacts and none has blocked the other. It stays so until the end of the
/// transaction.
async fn check_relations(tx: &mut Tx, batch: &mut Batch<'_>) -> Result<()> {
    let pair = |candidate: &Candidate<'_>| -> Option<(UserId, UserId)> {
        let (me, partner) = (candidate.draft.sender, candidate.sender.partner()?);
        Some((me.min(partner), me.max(partner)))
    };
    let pairs: BTreeSet<_> = batch.left.iter().filter_map(pair).collect();
    if pairs.is_empty() {
        return Ok(());
    }
    let contacts = contacts::hold_contacts(tx, &pairs).await?;
    let blocked = contacts::blocked_pairs(tx, &pairs).await?;
    batch.sift(|candidate| {
        let pair = pair(candidate)?;
        let reason = if !contacts.contains(&pair) {
            Reason::NotContacts
        } else if blocked.contains(&pair) {
            Reason::Unreachable
        } else {
            return None;
        };
        Some(Err(Error::Forbidden(reason)))
    });
    Ok(())
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

fn message(candidate: Candidate<'_>, place: Place) -> Message {
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
        created_at: place.at,
        seq: place.seq,
        reactions: Vec::new(),
        delivery_status: DeliveryStatus::Sent,
        read_count: ReadCount {
            total: candidate.sender.recipients,
            read: 0,
        },
        attachments,
    }
}
