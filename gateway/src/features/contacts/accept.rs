//! Accept a request. Both see each other as contacts, and their chat is there.

use shared::{ContactId, contact::Contact, event::Event, problem::Reason, topic::Topic};

use super::{accepted, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller},
    limits::Limited,
};

pub async fn accept(backend: &Backend, caller: &Caller, request: ContactId) -> Result<Contact> {
    backend.limits.check(Limited::General, caller.user).await?;
    let now = backend.clock.now();
    let mut tx = backend.begin().await?;
    let mut relation = store::hold(&mut tx, request, caller.user)
        .await?
        .ok_or(Error::NotFound("request"))?;
    if relation.requested_by == caller.user {
        return Err(Error::Forbidden(Reason::OwnRequest));
    }
    let is_new = relation.accepted_at.is_none();
    if is_new {
        store::accept(&mut tx, relation.id, now).await?;
        relation.accepted_at = Some(now);
    }
    let contacts = accepted(backend, &mut tx, &relation).await?;
    if is_new {
        for contact in &contacts {
            tx.record(
                Topic::User(contact.user_id),
                &Event::ContactAccepted(contact.clone()),
                now,
            )
            .await?;
        }
    }
    tx.commit().await?;
    let mine = contacts
        .into_iter()
        .find(|contact| contact.user_id == caller.user);
    mine.ok_or_else(|| Error::internal("a relation without the caller"))
}
