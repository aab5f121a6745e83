//! Change one's own name and status.

use shared::{
    account::{UpdateProfile, User},
    topic::Topic,
};

use super::{looks_different, store};
use crate::{
    error::Result,
    features::{Backend, Caller},
    limits::Limited,
};

pub async fn update(backend: &Backend, caller: &Caller, change: UpdateProfile) -> Result<User> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let now = backend.clock.now();
    store::update(&mut tx, caller, &change, now).await?;
    let user = store::user(&mut tx, &backend.settings, caller.user).await?;
    tx.record(Topic::User(caller.user), &looks_different(&user, now), now)
        .await?;
    tx.commit().await?;
    Ok(user)
}
