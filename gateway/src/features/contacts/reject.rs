//! Reject a request, or withdraw one's own.

use shared::{
    ContactId,
    contact::{ContactRequest, RequestStatus},
    event::Event,
    problem::Reason,
    topic::Topic,
};

use super::{people_of, request_for, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller},
    limits::Limited,
};

pub async fn reject(backend: &Backend, caller: &Caller, request: ContactId) -> Result<ContactRequest> {
    backend.limits.check(Limited::General, caller.user).await?;
    let now = backend.clock.now();
    let mut tx = backend.begin().await?;
    let relation = store::hold(&mut tx, request, caller.user)
        .await?
        .ok_or(Error::NotFound("request"))?;
    if relation.accepted_at.is_some() {
        return Err(Error::Conflict(Reason::AlreadyContacts));
    }
    store::remove(&mut tx, relation.id).await?;
    let people = people_of(backend, &mut tx, &relation).await?;
    for viewer in [relation.first_id, relation.second_id] {
        let seen = request_for(viewer, &relation, &people, RequestStatus::Rejected)?;
        tx.record(Topic::User(viewer), &Event::ContactRequestRejected(seen), now)
            .await?;
    }
    tx.commit().await?;
    request_for(caller.user, &relation, &people, RequestStatus::Rejected)
}
