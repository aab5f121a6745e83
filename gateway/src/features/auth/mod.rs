//! Getting in: accounts, passwords, tokens.

pub mod identify;
pub mod log_in;
pub mod log_out;
pub mod passwords;
pub mod refresh;
pub mod register;
mod store;
pub mod tokens;

use shared::{
    UserId,
    account::{LoggedIn, User},
};

use self::tokens::RefreshToken;
use crate::{
    db::Tx,
    error::Result,
    features::{Backend, Visitor, sessions},
};

/// Open a login session for somebody who has proven to be `user`.
async fn open_session(backend: &Backend, tx: &mut Tx, visitor: &Visitor, user: User) -> Result<LoggedIn> {
    let now = backend.clock.now();
    let expires_at = backend.clock.after(backend.settings.session_lifetime);
    let session = sessions::begin(tx, user.id, visitor, now, expires_at).await?;
    let refresh_token = RefreshToken::random();
    store::add_refresh_token(tx, session, &refresh_token, now).await?;
    logged_in(backend, session, &refresh_token, user)
}

fn logged_in(
    backend: &Backend,
    session: shared::SessionId,
    refresh_token: &RefreshToken,
    user: User,
) -> Result<LoggedIn> {
    let tokens = &backend.access_tokens;
    Ok(LoggedIn {
        access_token: tokens.issue(user.id, session, backend.clock.now())?,
        refresh_token: refresh_token.text(),
        expires_in: tokens.lifetime.as_secs(),
        user,
    })
}

/// A refresh token as it is kept.
struct KeptRefreshToken {
    session: shared::SessionId,
    user: UserId,
    session_is_over: bool,
    replaced_at: Option<chrono::DateTime<chrono::Utc>>,
    sealed_successor: Option<Vec<u8>>,
}
