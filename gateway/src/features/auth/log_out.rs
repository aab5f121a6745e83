//! End a login session: the caller's, or the one that a refresh token of theirs belongs to.

use shared::account::LogOut;

use super::{store, tokens::RefreshToken};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller, sessions},
    limits::Limited,
};

pub async fn log_out(backend: &Backend, caller: &Caller, ask: LogOut) -> Result<()> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let session = match ask.refresh_token {
        None => caller.session,
        Some(token) => {
            // To say "done" to a token that means nothing would leave somebody logged in who thinks they are not.
            let unknown = || Error::invalid("refreshToken", "does not belong to a session of yours");
            let token = RefreshToken::parse(&token).ok_or_else(unknown)?;
            let kept = store::hold_refresh_token(&mut tx, &token, backend.clock.now()).await?;
            kept.filter(|kept| kept.user == caller.user)
                .ok_or_else(unknown)?
                .session
        }
    };
    sessions::end_logged_out(backend, tx, caller.user, session).await
}
