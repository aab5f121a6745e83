//! See a profile: one's own, a contact's, or that of somebody one shares a chat with.

use shared::{UserId, account::User, problem::Reason};

use super::store;
use crate::{
    error::{Error, Result},
    features::{Backend, Caller, presence},
    limits::Limited,
};

pub async fn profile(backend: &Backend, caller: &Caller, whose: UserId) -> Result<User> {
    backend.limits.check(Limited::General, caller.user).await?;
    let found = store::user_and_visibility(&backend.db, &backend.settings, caller, whose).await?;
    match found {
        Some((mut user, true)) => {
            presence::seen_by(backend, backend.db.read(), caller.user, [&mut user]).await?;
            Ok(user)
        }
        Some((_, false)) => Err(Error::Forbidden(Reason::ProfileHidden)),
        None => Err(Error::NotFound("user")),
    }
}
