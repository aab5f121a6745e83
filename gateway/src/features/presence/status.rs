//! How people are shown, and who is told.

use std::collections::HashSet;

use shared::{
    UserId,
    account::{Status, User},
    event::Event,
    presence::StatusChanged,
    topic::Topic,
};
use tracing::warn;

use super::store;
use crate::{
    error::Result,
    features::{Backend, Caller, accounts, contacts},
    limits::Limited,
};

/// Whoever is there is shown as they chose to be; whoever is not, is offline.
pub fn shown(chosen: Option<Status>, is_here: bool) -> Status {
    if is_here {
        chosen.unwrap_or(Status::Online)
    } else {
        Status::Offline
    }
}

/// Show these people as `viewer` may see them. Whoever has a block between them sees nothing of the other's coming and going.
pub async fn seen_by<'a>(
    backend: &Backend,
    viewer: UserId,
    people: impl IntoIterator<Item = &'a mut User>,
) -> Result<()> {
    let people: Vec<&mut User> = people.into_iter().collect();
    let ids: Vec<UserId> = people.iter().map(|user| user.id).collect();
    let here = backend.presence.here(&ids).await;
    let hidden: HashSet<UserId> = contacts::hidden_from(&backend.db, viewer, &ids).await?;
    for user in people {
        if user.id == viewer {
            // What they chose, even while no socket of theirs is open: this is where they choose.
            user.status = user.chosen_status.unwrap_or(shown(None, here.contains(&user.id)));
        } else if hidden.contains(&user.id) {
            user.status = Status::Offline;
            user.last_seen = None;
        } else {
            user.status = shown(user.chosen_status, here.contains(&user.id));
        }
    }
    Ok(())
}

/// Somebody came or went: their contacts are told, unless they do not want to be seen.
pub(super) async fn announce(backend: &Backend, user: UserId, is_here: bool) {
    let told = async {
        let chosen = store::chosen(&backend.db, user).await?;
        let Some(chosen) = chosen.filter(|chosen| shown(chosen.status, true) != Status::Offline) else {
            return Ok(());
        };
        tell(backend, user, shown(chosen.status, is_here), &chosen).await
    };
    if let Err(error) = told.await {
        warn!(?error, "Cannot tell that somebody came or went");
    }
}

/// Somebody chose how to be shown.
pub async fn announce_choice(backend: &Backend, user: UserId) {
    let told = async {
        let is_here = backend.presence.here(&[user]).await.contains(&user);
        match store::chosen(&backend.db, user).await? {
            Some(chosen) if is_here => tell(backend, user, shown(chosen.status, true), &chosen).await,
            _ => Ok(()),
        }
    };
    if let Err(error) = told.await {
        warn!(?error, "Cannot tell how somebody wants to be shown");
    }
}

async fn tell(backend: &Backend, user: UserId, status: Status, chosen: &store::Chosen) -> Result<()> {
    let changed = StatusChanged {
        user_id: user,
        status,
        last_seen: chosen.last_seen,
        timestamp: backend.clock.now(),
    };
    let audience = contacts::audience(&backend.db, user).await?;
    let topics = audience.into_iter().chain([user]).map(Topic::User);
    backend
        .bus
        .publish_passing(topics, &Event::StatusChanged(changed))
}

/// Choose how to be shown, over a live connection. More often than the limit says, it is not heard.
pub async fn choose(backend: &Backend, caller: &Caller, status: Status) -> Result<()> {
    if backend.limits.check(Limited::Status, caller.user).await.is_err() {
        return Ok(());
    }
    accounts::update::status(backend, caller, status).await
}
