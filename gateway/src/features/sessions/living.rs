//! Which sessions live: asked on every request, so answers are remembered for a moment.

use std::{
    fmt,
    time::{Duration, Instant},
};

use moka::future::Cache;
use shared::SessionId;
use tracing::warn;

use super::store::{self, Life};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller},
    telemetry::metrics::OutcomeLabels,
};

/// A revoked session is out everywhere within a second; this leaves the rest of that second for asking.
const REMEMBERED: Duration = Duration::from_millis(700);
/// An answer is about two hundred bytes.
const AT_MOST: u64 = 100_000;
/// "Last activity" is kept to the minute, to spare the database a write for each request.
const ACTIVITY_STEP: Duration = Duration::from_secs(60);

pub struct Living {
    remembered: Cache<SessionId, Answer>,
}

impl Default for Living {
    fn default() -> Self {
        Self {
            remembered: Cache::builder()
                .time_to_live(REMEMBERED)
                .max_capacity(AT_MOST)
                .build(),
        }
    }
}

impl Living {
    /// Does the caller's session live? However many ask about one session at once, the database is asked once.
    pub async fn is_living(&self, backend: &Backend, caller: &Caller) -> Result<bool> {
        let mut answer = self.answer(backend, caller.session).await?;
        if answer.asked.elapsed() > REMEMBERED {
            self.forget(caller.session).await;
            answer = self.answer(backend, caller.session).await?;
        }
        let now = backend.clock.now();
        Ok(answer
            .life
            .is_some_and(|life| life.user == caller.user && !life.ended && now < life.expires_at))
    }

    /// The same, whatever is remembered.
    pub async fn is_living_now(&self, backend: &Backend, caller: &Caller) -> Result<bool> {
        self.forget(caller.session).await;
        self.is_living(backend, caller).await
    }

    async fn answer(&self, backend: &Backend, session: SessionId) -> Result<Answer> {
        let entry = self
            .remembered
            .entry(session)
            .or_try_insert_with(look_up(backend, session))
            .await;
        let entry = entry.map_err(|error| Error::unavailable(error.to_string()))?;
        let outcome = if entry.is_fresh() { "asked" } else { "remembered" };
        backend
            .metrics
            .session_checks
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
        Ok(entry.into_value())
    }

    pub(super) async fn forget(&self, session: SessionId) {
        self.remembered.invalidate(&session).await;
    }
}

async fn look_up(backend: &Backend, session: SessionId) -> Result<Answer, CannotTell> {
    let asked = Instant::now();
    let now = backend.clock.now();
    let life = store::life(&backend.db, session)
        .await
        .map_err(|error| CannotTell(format!("{error:?}")))?;
    if life
        .as_ref()
        .is_some_and(|life| !life.ended && life.last_activity + ACTIVITY_STEP <= now)
    {
        let db = backend.db.clone();
        // Nobody waits for it.
        backend.tasks.spawn("note the last activity", async move {
            if let Err(error) = store::note_activity(&db, session, now).await {
                warn!(?error, %session, "Cannot note the last activity of a session");
            }
        });
    }
    Ok(Answer { asked, life })
}

/// What the database said, and when it was asked: the answer may be older than its place in the cache.
#[derive(Clone, Debug)]
struct Answer {
    asked: Instant,
    life: Option<Life>,
}

/// Moka shares one failure among all who waited for it, so it has to be cheap to share.
#[derive(Debug)]
struct CannotTell(String);

impl fmt::Display for CannotTell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot tell whether a session lives: {}", self.0)
    }
}

impl fmt::Debug for Living {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Living").finish_non_exhaustive()
    }
}
