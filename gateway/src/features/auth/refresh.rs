//! Renew a login session with its refresh token.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::{
    account::{LoggedIn, Refresh},
    problem::Reason,
};
use tracing::warn;

use super::{KeptRefreshToken, logged_in, store, tokens::RefreshToken};
use crate::{
    error::{Error, Result},
    features::{Backend, Visitor, accounts, sessions},
    limits::Limited,
};

/// Two tabs share one token and may both use it; this long after its replacement it still gives the same successor.
const GRACE: Duration = Duration::from_secs(60);

pub async fn refresh(backend: &Backend, visitor: &Visitor, ask: Refresh) -> Result<LoggedIn> {
    backend.limits.check(Limited::Refresh, visitor.network()).await?;
    let invalid = || Error::Unauthenticated(Reason::RefreshTokenInvalid);
    let token = RefreshToken::parse(&ask.refresh_token).ok_or_else(invalid)?;
    let now = backend.clock.now();

    let mut tx = backend.begin().await?;
    let kept = store::hold_refresh_token(&mut tx, &token, now)
        .await?
        .ok_or_else(invalid)?;
    if kept.session_is_over {
        return Err(Error::Unauthenticated(Reason::SessionEnded));
    }
    let successor = match whose_turn(&kept, now) {
        Turn::Current => {
            let successor = RefreshToken::random();
            store::replace_refresh_token(&mut tx, &token, &successor, kept.session, now).await?;
            let expires_at = backend.clock.after(backend.settings.session_lifetime);
            sessions::prolong(&mut tx, kept.session, now, expires_at).await?;
            successor
        }
        Turn::JustReplaced(sealed) => token
            .unseal(sealed)
            .ok_or_else(|| Error::internal("a broken seal"))?,
        Turn::LongGone => {
            // Somebody holds a token that its owner replaced long ago: one of the two is a thief.
            sessions::end_reused(backend, tx, kept.user, kept.session).await?;
            warn!(user = %kept.user, session = %kept.session, "An old refresh token turned up, the session was ended");
            return Err(invalid());
        }
    };
    let user = accounts::user(&mut tx, &backend.settings, kept.user).await?;
    tx.commit().await?;
    logged_in(backend, kept.session, &successor, user)
}

#[derive(Debug, PartialEq, Eq)]
enum Turn<'a> {
    Current,
    JustReplaced(&'a [u8]),
    LongGone,
}

fn whose_turn(kept: &KeptRefreshToken, now: DateTime<Utc>) -> Turn<'_> {
    match (kept.replaced_at, &kept.sealed_successor) {
        (Some(replaced_at), Some(sealed)) if now < replaced_at + GRACE => Turn::JustReplaced(sealed),
        (None, _) => Turn::Current,
        _ => Turn::LongGone,
    }
}

#[cfg(test)]
mod tests {
    use shared::{SessionId, samples};

    use super::*;

    #[test]
    fn a_replaced_token_has_a_minute() {
        let replaced = |ago: u64| KeptRefreshToken {
            session: SessionId::new(),
            user: samples::alice().id,
            session_is_over: false,
            replaced_at: Some(samples::noon() - Duration::from_secs(ago)),
            sealed_successor: Some(vec![7]),
        };
        assert_eq!(
            whose_turn(&replaced(0), samples::noon()),
            Turn::JustReplaced(&[7])
        );
        assert_eq!(
            whose_turn(&replaced(59), samples::noon()),
            Turn::JustReplaced(&[7])
        );
        assert_eq!(whose_turn(&replaced(60), samples::noon()), Turn::LongGone);
        let current = KeptRefreshToken {
            replaced_at: None,
            sealed_successor: None,
            ..replaced(0)
        };
        assert_eq!(whose_turn(&current, samples::noon()), Turn::Current);
    }
}
