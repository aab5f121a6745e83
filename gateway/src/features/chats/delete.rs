//! Delete a group. It is gone for everybody at once.

use shared::{ChatId, UserId, chat::ChatGone, event::Event, topic::Topic};

use super::{Group, rules, store};
use crate::{
    error::Result,
    features::{Backend, Caller},
    limits::Limited,
};

pub async fn delete(backend: &Backend, caller: &Caller, chat: ChatId) -> Result<()> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let group = Group::in_turn(&mut tx, caller.user, chat).await?;
    rules::must_own(group.role)?;
    let mut members: Vec<UserId> = group.members().map(|member| member.user).collect();
    members.sort_unstable();
    store::hold(&mut tx, chat, &members).await?;
    let place = tx.next_place(Topic::Chat(chat), backend.clock.now()).await?;
    // Whoever is sending at this moment looks at their own place in the chat, so that has to go, too.
    store::leave(&mut tx, chat, &members, place.at).await?;
    store::delete(&mut tx, chat, place.at).await?;
    let gone = Event::ChatDeleted(ChatGone {
        id: chat,
        chat_id: chat,
        deleted_by: Some(caller.user),
        timestamp: place.at,
    });
    tx.record_at(place, &gone).await?;
    for member in members {
        tx.record(Topic::User(member), &gone, place.at).await?;
    }
    tx.commit().await
}
