//! Where the caller is logged in.

use shared::session::LoginSessions;

use super::store;
use crate::{
    error::Result,
    features::{Backend, Caller},
    limits::Limited,
};

pub async fn list(backend: &Backend, caller: &Caller) -> Result<LoginSessions> {
    backend.limits.check(Limited::General, caller.user).await?;
    Ok(LoginSessions {
        sessions: store::list(&backend.db, caller, backend.clock.now()).await?,
    })
}
