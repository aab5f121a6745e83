//! The caller's contacts, and the requests that wait for their answer.

use shared::contact::{ContactRequests, Contacts, RequestStatus};

use super::{contact_for, request_for, store};
use crate::{
    error::Result,
    features::{Backend, Caller, accounts, presence},
    limits::Limited,
};

pub async fn contacts(backend: &Backend, caller: &Caller) -> Result<Contacts> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let entries = store::accepted(&mut tx, caller.user, None).await?;
    let others: Vec<_> = entries
        .iter()
        .map(|entry| entry.relation.other(caller.user))
        .collect();
    let mut people = accounts::people(&mut tx, &backend.settings, &others).await?;
    presence::seen_by(backend, tx.conn(), caller.user, people.values_mut()).await?;
    let contacts = entries
        .iter()
        .map(|entry| contact_for(caller.user, entry, &people));
    let mut contacts = contacts.collect::<Result<Vec<_>>>()?;
    contacts.sort_by_cached_key(|contact| contact.username.to_lowercase());
    Ok(Contacts { contacts })
}

pub async fn pending(backend: &Backend, caller: &Caller) -> Result<ContactRequests> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let relations = store::pending(&mut tx, caller.user).await?;
    let everybody: Vec<_> = relations
        .iter()
        .flat_map(|relation| [relation.first_id, relation.second_id])
        .collect();
    let mut people = accounts::people(&mut tx, &backend.settings, &everybody).await?;
    presence::seen_by(backend, tx.conn(), caller.user, people.values_mut()).await?;
    let requests = relations
        .iter()
        .map(|relation| request_for(caller.user, relation, &people, RequestStatus::Pending));
    Ok(ContactRequests {
        requests: requests.collect::<Result<_>>()?,
    })
}
