//! Change one's own name and status.

use shared::account::{Status, UpdateProfile, User};

use super::{store, tell_new_looks};
use crate::{
    error::Result,
    features::{Backend, Caller, presence},
    limits::Limited,
};

pub async fn update(backend: &Backend, caller: &Caller, change: UpdateProfile) -> Result<User> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    store::update(&mut tx, caller, &change, backend.clock.now()).await?;
    let mut user = store::user(&mut tx, &backend.settings, caller.user).await?;
    presence::seen_by(backend, tx.conn(), caller.user, [&mut user]).await?;
    tell_new_looks(backend, tx, &user).await?;
    if change.status.is_some() {
        presence::announce_choice(backend, caller.user).await;
    }
    Ok(user)
}

/// Change how one is shown, and nothing else.
pub async fn status(backend: &Backend, caller: &Caller, status: Status) -> Result<()> {
    let mut tx = backend.begin().await?;
    store::choose_status(&mut tx, caller, status, backend.clock.now()).await?;
    tx.commit().await?;
    presence::announce_choice(backend, caller.user).await;
    Ok(())
}
