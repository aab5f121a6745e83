//! Change one's own name and status.

use shared::account::{UpdateProfile, User};

use super::store;
use crate::{
    error::Result,
    features::{Backend, Caller},
    limits::Limited,
};

pub async fn update(backend: &Backend, caller: &Caller, change: UpdateProfile) -> Result<User> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    store::update(&mut tx, caller, &change, backend.clock.now()).await?;
    let user = store::user(&mut tx, &backend.settings, caller.user).await?;
    tx.commit().await?;
    Ok(user)
}
