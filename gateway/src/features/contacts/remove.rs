//! Stop being contacts, on both sides. Their chat stays, to be read.

use shared::{contact::ContactEnded, event::Event, topic::Topic};
use uuid::Uuid;

use super::store;
use crate::{
    error::{Error, Result},
    features::{Backend, Caller, chats},
    limits::Limited,
};

/// `contact` is the relation, the other person, or the direct chat with them.
pub async fn remove(backend: &Backend, caller: &Caller, contact: Uuid) -> Result<()> {
    backend.limits.check(Limited::General, caller.user).await?;
    let now = backend.clock.now();
    let mut tx = backend.begin().await?;
    let other = store::person_behind(&mut tx, caller.user, contact).await?;
    let other = other.ok_or(Error::NotFound("contact"))?;
    let relation = store::hold_between(&mut tx, caller.user, other).await?;
    // A request that waits for an answer is rejected or withdrawn instead.
    let relation = relation
        .filter(|relation| relation.accepted_at.is_some())
        .ok_or(Error::NotFound("contact"))?;
    store::remove(&mut tx, relation.id).await?;
    let chat = chats::ensure_direct(backend, &mut tx, caller.user, other)
        .await?
        .id;
    for user in [relation.first_id, relation.second_id] {
        let ended = ContactEnded {
            id: chat,
            chat_id: chat,
            relation_id: relation.id,
            user_id: user,
            contact_id: relation.other(user),
            timestamp: now,
        };
        tx.record(Topic::User(user), &Event::ContactEnded(ended), now)
            .await?;
    }
    tx.commit().await
}
