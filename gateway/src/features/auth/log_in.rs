//! Log in with name and password.

use shared::{
    account::{LogIn, LoggedIn},
    problem::Reason,
};

use super::{open_session, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Visitor, accounts},
    telemetry::metrics::OutcomeLabels,
};

pub async fn log_in(backend: &Backend, visitor: &Visitor, ask: LogIn) -> Result<LoggedIn> {
    let result = try_to_log_in(backend, visitor, ask).await;
    let outcome = match &result {
        Ok(_) => "success",
        Err(Error::Unauthenticated(_)) => "wrong",
        Err(Error::TooMany {
            reason: Reason::AccountLocked,
            ..
        }) => "locked",
        Err(Error::TooMany { .. }) => "busy",
        Err(_) => "failed",
    };
    if let Err(Error::TooMany { .. }) = result {
        backend.passwords.slow_down().await;
    }
    backend
        .metrics
        .log_ins
        .get_or_create(&OutcomeLabels { outcome })
        .inc();
    result
}

/// Known and unknown names take the same steps, so neither the answer nor its time tells them apart.
async fn try_to_log_in(backend: &Backend, visitor: &Visitor, ask: LogIn) -> Result<LoggedIn> {
    let place = backend.passwords.log_in_place()?;
    let attempt = backend.attempts.begin(&ask.username).await?;
    let turn = place.turn().await?;
    let known = store::known(&backend.db, &ask.username).await?;
    let hash = known.as_ref().map(|known| &*known.password_hash);
    let fits = backend.passwords.verify(&turn, &ask.password, hash).await?;
    let Some(known) = known.filter(|_| fits) else {
        attempt.failed().await;
        return Err(Error::Unauthenticated(Reason::WrongCredentials));
    };
    attempt.succeeded().await;

    let mut tx = backend.begin().await?;
    let user = accounts::user(&mut tx, &backend.settings, known.id).await?;
    let logged_in = open_session(backend, &mut tx, visitor, user).await?;
    tx.commit().await?;
    Ok(logged_in)
}
