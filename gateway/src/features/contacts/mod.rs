//! Who knows whom: requests, and what becomes of them.

pub mod accept;
pub mod block;
pub mod list;
pub mod reject;
pub mod remove;
pub mod request;
mod store;

use std::collections::HashMap;

use shared::{
    UserId,
    account::{Status, User},
    contact::{Contact, ContactRequest, Person, RequestStatus},
};

use self::store::{Entry, Relation};
pub use self::store::{are_blocked, are_contacts, at_odds, audience, blocking, hidden_from};
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Backend, accounts, chats, presence},
};

/// The two people of a relation.
async fn people_of(backend: &Backend, tx: &mut Tx, relation: &Relation) -> Result<HashMap<UserId, User>> {
    let both = [relation.first_id, relation.second_id];
    let mut people = accounts::people(tx, &backend.settings, &both).await?;
    presence::seen(backend, people.values_mut()).await;
    Ok(people)
}

/// A request as `viewer`, one of the two, sees it.
fn request_for(
    viewer: UserId,
    relation: &Relation,
    people: &HashMap<UserId, User>,
    status: RequestStatus,
) -> Result<ContactRequest> {
    let person = |id: UserId| {
        people
            .get(&id)
            .ok_or_else(|| Error::internal("a relation with nobody"))
    };
    let (sender, receiver) = (relation.requested_by, relation.other(relation.requested_by));
    let other = relation.other(viewer);
    Ok(ContactRequest {
        id: relation.id,
        sender_id: sender,
        receiver_id: receiver,
        sender: (viewer != sender)
            .then(|| person(sender).map(Person::from))
            .transpose()?,
        receiver: person(receiver)?.into(),
        status,
        created_at: relation.created_at,
        requested_by: sender,
        user_id: viewer,
        contact_id: other,
        contact: person(other)?.clone(),
    })
}

/// A contact as `viewer`, one of the two, sees it.
fn contact_for(viewer: UserId, entry: &Entry, people: &HashMap<UserId, User>) -> Result<Contact> {
    let (relation, chat) = (&entry.relation, entry.chat);
    let other = relation.other(viewer);
    let mut user = people
        .get(&other)
        .ok_or_else(|| Error::internal("a relation with nobody"))?
        .clone();
    if entry.is_hidden {
        user.status = Status::Offline;
        user.last_seen = None;
    }
    Ok(Contact {
        id: chat,
        username: user.username.to_string(),
        display_name: user.display_name.clone(),
        avatar_url: user.avatar_url.clone(),
        status: user.status,
        last_seen: user.last_seen,
        is_blocked: entry.is_blocked,
        chat_id: chat,
        user_id: viewer,
        contact_id: other,
        relation_id: relation.id,
        contact_status: if entry.is_blocked {
            RequestStatus::Blocked
        } else {
            RequestStatus::Accepted
        },
        requested_by: relation.requested_by,
        created_at: relation.created_at,
        accepted_at: relation.accepted_at,
        user,
    })
}

/// What both see of a relation that has just been accepted, and the chat that it opened.
async fn accepted(backend: &Backend, tx: &mut Tx, relation: &Relation) -> Result<[Contact; 2]> {
    chats::ensure_direct(backend, tx, relation.first_id, relation.second_id).await?;
    Ok([
        contact(backend, tx, relation, relation.first_id).await?,
        contact(backend, tx, relation, relation.second_id).await?,
    ])
}

/// An accepted relation as `viewer`, one of the two, sees it now.
async fn contact(backend: &Backend, tx: &mut Tx, relation: &Relation, viewer: UserId) -> Result<Contact> {
    let entry = store::accepted(tx, viewer, Some(relation.other(viewer)))
        .await?
        .pop();
    let entry = entry.ok_or_else(|| Error::internal("contacts without a chat"))?;
    let people = people_of(backend, tx, relation).await?;
    contact_for(viewer, &entry, &people)
}
