//! Start a conversation: with a contact, or with many people.

use shared::{
    ChatId, UserId,
    chat::{Chat, StartDirectChat, StartGroup},
    event::Event,
    problem::Reason,
    topic::Topic,
};

use super::{people_named, rules, store};
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Backend, Caller, accounts, contacts, presence},
    limits::Limited,
};

/// The chat with a contact, and whether this call made it.
pub async fn direct(backend: &Backend, caller: &Caller, ask: StartDirectChat) -> Result<(Chat, bool)> {
    backend.limits.check(Limited::General, caller.user).await?;
    let other = ask.contact_id.or(ask.user_id).or(ask.participant_id);
    let other = other.ok_or_else(|| Error::invalid("contactId", "is required"))?;
    if other == caller.user {
        return Err(Error::invalid("contactId", "must be somebody else"));
    }
    let mut tx = backend.begin().await?;
    // An old chat stays readable when the relation is over.
    if let Some(existing) = store::direct(&mut tx, caller.user, other).await? {
        return Ok((seen_by(backend, &mut tx, caller.user, existing).await?, false));
    }
    if accounts::people(&mut tx, &backend.settings, &[other])
        .await?
        .is_empty()
    {
        return Err(Error::NotFound("user"));
    }
    if !contacts::are_contacts(&mut tx, caller.user, other).await? {
        return Err(Error::Forbidden(Reason::NotContacts));
    }
    let started = ensure_direct(backend, &mut tx, caller.user, other).await?;
    let chat = seen_by(backend, &mut tx, caller.user, started.id).await?;
    tx.commit().await?;
    Ok((chat, started.is_new))
}

/// A chat that is there now, if it was not before.
pub struct Started {
    pub id: ChatId,
    pub is_new: bool,
}

/// Make sure that two people have their chat; both are told of a new one.
pub async fn ensure_direct(backend: &Backend, tx: &mut Tx, a: UserId, b: UserId) -> Result<Started> {
    let (id, is_new) = store::ensure_direct(tx, a, b, backend.clock.now()).await?;
    if is_new {
        let seen = seen_by(backend, tx, a, id).await?;
        tell(backend, tx, &seen, &[a, b]).await?;
    }
    Ok(Started { id, is_new })
}

pub async fn group(backend: &Backend, caller: &Caller, ask: StartGroup) -> Result<Chat> {
    backend.limits.check(Limited::General, caller.user).await?;
    let most = backend.settings.group_max_members - 1;
    // Ten times as many may be duplicates; more is nobody's mistake.
    if ask.participant_ids.len() > most * 10 {
        return Err(too_many(most));
    }
    let mut tx = backend.begin().await?;
    let field = |index| format!("participantIds[{index}]");
    let mut members = people_named(&mut tx, caller.user, &ask.participant_ids, field).await?;
    members.retain(|member| *member != caller.user);
    if members.is_empty() {
        return Err(Error::invalid(
            "participantIds",
            "must name at least one other person",
        ));
    }
    if members.len() > most {
        return Err(too_many(most));
    }
    let id = ChatId::new();
    let slug = rules::slug(&ask.name, id);
    store::add_group(
        &mut tx,
        id,
        caller.user,
        &ask.name,
        &slug,
        &members,
        backend.clock.now(),
    )
    .await?;
    members.push(caller.user);
    let chat = seen_by(backend, &mut tx, caller.user, id).await?;
    tell(backend, &mut tx, &chat, &members).await?;
    tx.commit().await?;
    Ok(chat)
}

fn too_many(most: usize) -> Error {
    Error::invalid("participantIds", format!("must not name more than {most} people"))
}

/// Tell each of the people that they are in a chat from now on, as one of them sees it: to none of them it holds anything unread.
/// In the order of their ids: two chats that start at once with the same people must not wait for each other.
pub(super) async fn tell(backend: &Backend, tx: &mut Tx, chat: &Chat, people: &[UserId]) -> Result<()> {
    let now = backend.clock.now();
    let mut people = people.to_vec();
    people.sort_unstable();
    let mut chat = chat.clone();
    presence::seen_by_all(backend, tx, &mut chat).await?;
    for user in people {
        let mut seen = chat.clone();
        seen.participants
            .sort_by_key(|participant| participant.user_id != user);
        // The log keeps no copy of a message where deleting it would not look.
        seen.last_message = None;
        tx.record(Topic::User(user), &Event::ChatStarted(seen), now)
            .await?;
    }
    Ok(())
}

pub(super) async fn seen_by(backend: &Backend, tx: &mut Tx, viewer: UserId, chat: ChatId) -> Result<Chat> {
    let mut chats = store::chats(tx, &backend.settings, viewer, &[chat]).await?;
    presence::in_chats(backend, tx, viewer, &mut chats).await?;
    chats.pop().ok_or_else(|| Error::internal("a chat that vanished"))
}
