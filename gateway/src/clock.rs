//! The only source of "now", so that tests can move it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

/// The time of day, to the microsecond (which is what PostgreSQL keeps).
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Microseconds that this clock is ahead. Only tests move it.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now().timestamp_micros() + self.ahead.load(Ordering::Relaxed);
        DateTime::from_timestamp_micros(now).unwrap_or_default()
    }

    /// The moment that lies so far ahead of now.
    pub fn after(&self, time: Duration) -> DateTime<Utc> {
        self.now() + TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)
    }

    /// Let time pass: for all who hold this clock.
    pub fn advance(&self, time: Duration) {
        self.ahead
            .fetch_add(i64::try_from(time.as_micros()).unwrap_or(0), Ordering::Relaxed);
    }
}
