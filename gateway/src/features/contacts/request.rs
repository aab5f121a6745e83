//! Ask somebody to become a contact.

use shared::{
    contact::{ContactRequest, RequestContact, RequestStatus},
    event::Event,
    problem::Reason,
    topic::Topic,
};

use super::{are_blocked, people_of, request_for, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller, accounts},
    limits::Limited,
};

pub async fn request(backend: &Backend, caller: &Caller, ask: RequestContact) -> Result<ContactRequest> {
    let other = ask
        .contact_id
        .or(ask.user_id)
        .ok_or_else(|| Error::invalid("contactId", "is required"))?;
    if other == caller.user {
        return Err(Error::invalid("contactId", "must be somebody else"));
    }
    backend.limits.check(Limited::ContactRequest, caller.user).await?;
    let now = backend.clock.now();
    let mut tx = backend.begin().await?;
    if accounts::people(&mut tx, &backend.settings, &[other])
        .await?
        .is_empty()
    {
        return Err(Error::NotFound("user"));
    }
    store::take_turn(&mut tx, caller.user, other).await?;
    if are_blocked(&mut tx, caller.user, other).await? {
        return Err(Error::Forbidden(Reason::Unreachable));
    }
    let relation = store::add_request(&mut tx, caller.user, other, now)
        .await?
        .map_err(|existing| {
            Error::Conflict(if existing.accepted_at.is_some() {
                Reason::AlreadyContacts
            } else {
                Reason::RequestPending
            })
        })?;
    let people = people_of(backend, &mut tx, &relation).await?;
    for viewer in [relation.first_id, relation.second_id] {
        let seen = request_for(viewer, &relation, &people, RequestStatus::Pending)?;
        tx.record(Topic::User(viewer), &Event::ContactRequested(seen), now)
            .await?;
    }
    tx.commit().await?;
    request_for(caller.user, &relation, &people, RequestStatus::Pending)
}
