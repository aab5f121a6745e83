//! Log out somewhere else.

use shared::SessionId;

use super::{end, store, store::EndReason};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller},
    limits::Limited,
};

/// End one session of the caller, which may be the one that asks.
pub async fn revoke(backend: &Backend, caller: &Caller, session: SessionId) -> Result<()> {
    backend.limits.check(Limited::General, caller.user).await?;
    let tx = backend.begin().await?;
    match end(backend, tx, caller.user, &[session], EndReason::Revoked).await? {
        0 => Err(Error::NotFound("session")),
        _ => Ok(()),
    }
}

/// End all sessions of the caller but the one that asks.
pub async fn revoke_others(backend: &Backend, caller: &Caller) -> Result<()> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let others = store::others(&mut tx, caller).await?;
    end(backend, tx, caller.user, &others, EndReason::Revoked)
        .await
        .map(drop)
}
