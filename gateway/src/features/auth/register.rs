//! Make an account; whoever made it is logged in.

use shared::{
    account::{LoggedIn, Register},
    problem::Reason,
    text::DisplayName,
};

use super::{open_session, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Visitor, accounts},
    limits::Limited,
};

pub async fn register(backend: &Backend, visitor: &Visitor, ask: Register) -> Result<LoggedIn> {
    backend.limits.check(Limited::Register, visitor.network()).await?;
    if ask.password.secret() != &ask.password_confirm {
        return Err(Error::invalid(
            "passwordConfirm",
            "must be the same as the password",
        ));
    }
    let turn = backend.passwords.registration_place()?.turn().await?;
    // Asked before the expensive part, and decided again by the constraint.
    if store::is_taken(&backend.db, &ask.username).await? {
        return Err(Error::Conflict(Reason::UsernameTaken));
    }
    let hash = backend.passwords.hash(&turn, ask.password.secret()).await?;
    let display_name = match ask.display_name {
        Some(name) => name,
        None => DisplayName::try_from(ask.username.to_string()).map_err(Error::internal)?,
    };

    let mut tx = backend.begin().await?;
    let id = store::add_user(&mut tx, &ask.username, &display_name, &hash, backend.clock.now()).await?;
    let user = accounts::user(&mut tx, &backend.settings, id).await?;
    let logged_in = open_session(backend, &mut tx, visitor, user).await?;
    tx.commit().await?;
    Ok(logged_in)
}
