//! Login sessions: begun by logging in, prolonged by refreshing, ended by logging out or by being revoked.

pub mod broken_lines;
pub mod list;
mod living;
pub mod open;
pub mod revoke;
mod store;
mod turns;

use chrono::TimeDelta;
use shared::{
    SessionId, UserId,
    event::{Event, SessionGone},
    topic::Topic,
};

use self::store::EndReason;
pub use self::{
    living::Living,
    store::{begin, prolong},
    turns::Turns,
};
use crate::{db::Tx, error::Result, features::Backend};

/// The user logged out.
pub async fn end_logged_out(backend: &Backend, tx: Tx, user: UserId, session: SessionId) -> Result<()> {
    end(backend, tx, user, &[session], EndReason::LoggedOut)
        .await
        .map(drop)
}

/// Somebody used a refresh token that had been replaced long ago.
pub async fn end_reused(backend: &Backend, tx: Tx, user: UserId, session: SessionId) -> Result<()> {
    end(backend, tx, user, &[session], EndReason::RefreshTokenReused)
        .await
        .map(drop)
}

/// End the sessions, as the last act of the transaction. This replica knows at once, the others within a second. Says how many
/// were living.
async fn end(
    backend: &Backend,
    mut tx: Tx,
    user: UserId,
    sessions: &[SessionId],
    reason: EndReason,
) -> Result<usize> {
    let now = backend.clock.now();
    let ended = store::end(&mut tx, user, sessions, reason, now).await?;
    for session in &ended {
        tx.record(
            Topic::User(user),
            &Event::SessionEnded(SessionGone { session_id: *session }),
            now,
        )
        .await?;
    }
    tx.commit().await?;
    for session in &ended {
        backend.sessions.forget(*session).await;
    }
    Ok(ended.len())
}

/// Remove sessions that have been over for so long that their tokens need not be told from unknown ones any more.
pub async fn sweep(backend: &Backend) -> Result<()> {
    loop {
        let mut tx = backend.begin().await?;
        let removed = store::remove_over(&mut tx, backend.clock.now() - KEPT_AFTER_END).await?;
        tx.commit().await?;
        if removed == 0 {
            return Ok(());
        }
    }
}

/// Ended sessions are kept for a while: for whoever looks into what happened.
const KEPT_AFTER_END: TimeDelta = TimeDelta::days(30);
