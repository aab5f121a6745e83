//! A change that is one statement: it is committed when PostgreSQL answers, without a round trip to begin and another to end.
//!
//! Such changes have connections to themselves, as many as are under way at once (see `Lanes`). So sending does not queue behind
//! thousands who come back together and ask what they have missed; nor is each connection tried out before and after each use.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::{
    bus::{Bus, Envelope},
    error::Result,
    telemetry::metrics::Metrics,
};

/// A statement may take so long. A lane gives up after five seconds, and what it gave up must not be committed behind its back: there
/// are two statements in a change, and PostgreSQL stops them itself.
const STATEMENT: Duration = Duration::from_millis(1_750);
/// To find a connection that works, or to open one, may take so long.
const OPENING: Duration = Duration::from_secs(1);

/// A connection that nobody used for so long is tried out before it is used again.
const FRESH: Duration = Duration::from_secs(1);

/// The connections.
#[derive(Clone)]
pub(super) struct Kept {
    options: PgConnectOptions,
    idle: Arc<Mutex<Vec<(PgConnection, Instant)>>>,
}

impl Kept {
    pub fn new(options: PgConnectOptions, statement_timeout: Duration) -> Self {
        let millis = statement_timeout.min(STATEMENT).as_millis().to_string();
        Self {
            options: options.options([
                // PostgreSQL would plan anew, for arrays of just this length, each time: that took two thirds of its part in a message.
                ("plan_cache_mode", "force_generic_plan"),
                ("statement_timeout", millis.as_str()),
            ]),
            idle: Arc::default(),
        }
    }

    pub async fn change(&self, bus: &Bus, metrics: &Arc<Metrics>) -> Result<AtOnce> {
        let conn = timeout(OPENING, self.connection());
        Ok(AtOnce {
            conn: conn.await.unwrap_or(Err(super::silent()))?,
            kept: self.clone(),
            began: bus.traces().now(),
            asked: Asked {
                when: None,
                bus: bus.clone(),
            },
            metrics: metrics.clone(),
        })
    }

    async fn connection(&self) -> sqlx::Result<PgConnection> {
        loop {
            // The one that was used last.
            let Some((mut conn, used)) = self.idle().pop() else {
                return self.options.connect().await;
            };
            if used.elapsed() < FRESH || conn.ping().await.is_ok() {
                return Ok(conn);
            }
        }
    }

    pub fn close(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(PgConnection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change. Unless it says how it ended, its connection is not used again.
#[derive(Debug)]
pub struct AtOnce {
    conn: PgConnection,
    kept: Kept,
    /// If somebody wants to know.
    began: Option<SystemTime>,
    asked: Asked,
    metrics: Arc<Metrics>,
}

impl AtOnce {
    /// For reading what the change depends on.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.conn
    }

    /// For the one statement that writes.
    pub fn write(&mut self) -> &mut PgConnection {
        self.asked.when = Some(Instant::now());
        &mut self.conn
    }

    /// It is made: tell of it.
    pub fn done(mut self, mut recorded: Vec<Envelope>) {
        if let Some(asked) = self.asked.when.take() {
            self.metrics.commit_seconds.observe(asked.elapsed().as_secs_f64());
        }
        self.metrics.events_recorded.inc_by(recorded.len() as u64);
        let causes = recorded.iter_mut().map(|envelope| &mut envelope.cause);
        self.asked.bus.traces().committed(self.began, causes);
        self.asked.bus.publish(recorded);
        self.keep();
    }

    /// Nothing was written: PostgreSQL said so, or was not asked to.
    pub fn undone(mut self) {
        self.asked.when = None;
        self.keep();
    }

    fn keep(self) {
        self.kept.idle().push((self.conn, Instant::now()));
    }
}

/// Since when PostgreSQL has been writing. If we never hear what became of it, it may have been committed, and nobody was told.
#[derive(Debug)]
struct Asked {
    when: Option<Instant>,
    bus: Bus,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.when.is_some() {
            self.bus.look_it_up();
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}
