//! Be left alone by somebody, until further notice.
//!
//! Neither sees whether the other is there, writes to them or asks them anything; groups go on as before. What was accepted stays
//! so, and returns when the block is undone.

use shared::{
    UserId,
    account::Status,
    contact::{BlockState, RequestStatus},
    event::Event,
    topic::Topic,
};
use uuid::Uuid;

use super::{contact, people_of, request_for, store, store::Relation};
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Backend, Caller},
    limits::Limited,
};

/// `whom` is a person, the caller's relation with one, or their direct chat.
pub async fn block(backend: &Backend, caller: &Caller, whom: Uuid) -> Result<BlockState> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let (other, relation) = hold(&mut tx, caller, whom).await?;
    if store::block(&mut tx, caller.user, other, backend.clock.now()).await? {
        match relation {
            Some(relation) if relation.accepted_at.is_none() => {
                end_request(backend, &mut tx, &relation).await?;
            }
            Some(relation) => tell_own_devices(backend, &mut tx, caller, &relation).await?,
            None => {}
        }
    }
    tx.commit().await?;
    Ok(BlockState {
        contact_id: other,
        is_blocked: true,
    })
}

/// `whom` is a person, the caller's relation with one, or their direct chat.
pub async fn unblock(backend: &Backend, caller: &Caller, whom: Uuid) -> Result<BlockState> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let (other, relation) = hold(&mut tx, caller, whom).await?;
    if store::unblock(&mut tx, caller.user, other).await?
        && let Some(relation) = relation.filter(|relation| relation.accepted_at.is_some())
    {
        tell_own_devices(backend, &mut tx, caller, &relation).await?;
    }
    tx.commit().await?;
    Ok(BlockState {
        contact_id: other,
        is_blocked: false,
    })
}

/// The other person, and what is between the two. Neither a message nor a request gets in between.
async fn hold(tx: &mut Tx, caller: &Caller, whom: Uuid) -> Result<(UserId, Option<Relation>)> {
    let other = store::person_behind(tx, caller.user, whom).await?;
    let other = other.ok_or(Error::NotFound("user"))?;
    if other == caller.user {
        return Err(Error::invalid("id", "must be somebody else"));
    }
    store::take_turn(tx, caller.user, other).await?;
    Ok((other, store::hold_between(tx, caller.user, other).await?))
}

/// A request between the two ends. Both are told what they would be told of any rejection or withdrawal: that gives nothing away.
async fn end_request(backend: &Backend, tx: &mut Tx, relation: &Relation) -> Result<()> {
    store::remove(tx, relation.id).await?;
    let mut people = people_of(backend, tx, relation).await?;
    for person in people.values_mut() {
        (person.status, person.last_seen) = (Status::Offline, None);
    }
    for viewer in [relation.first_id, relation.second_id] {
        let seen = request_for(viewer, relation, &people, RequestStatus::Rejected)?;
        tx.record(
            Topic::User(viewer),
            &Event::ContactRequestRejected(seen),
            backend.clock.now(),
        )
        .await?;
    }
    Ok(())
}

/// The caller's entry of a contact looks different now. The other one is not told.
async fn tell_own_devices(
    backend: &Backend,
    tx: &mut Tx,
    caller: &Caller,
    relation: &Relation,
) -> Result<()> {
    let seen = contact(backend, tx, relation, caller.user).await?;
    tx.record(
        Topic::User(caller.user),
        &Event::ContactAccepted(seen),
        backend.clock.now(),
    )
    .await
}
