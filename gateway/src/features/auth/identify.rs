//! Who is behind an access token?

use shared::problem::Reason;

use crate::{
    error::{Error, Result},
    features::{Backend, Caller, Way},
};

/// The caller, if the token is ours, its time is not over, and its login session lives.
pub async fn identify(backend: &Backend, access_token: &str) -> Result<Caller> {
    let claims = backend.access_tokens.read(access_token)?;
    let caller = Caller {
        user: claims.user,
        session: claims.session,
        way: Way::Request,
    };
    if !backend.sessions.is_living(backend, &caller).await? {
        return Err(Error::Unauthenticated(Reason::SessionEnded));
    }
    if claims.has_expired(backend.clock.now()) {
        return Err(Error::Unauthenticated(Reason::TokenExpired));
    }
    Ok(caller)
}
