//! What all replicas count together, in Redis. Each question is one atomic script.
//!
//! Redis may be away or stuck. Then the question fails quickly, and for a second nobody asks again, so that a dead Redis costs
//! one slow request a second and not every one.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use redis::{FromRedisValue, Script, ScriptInvocation, aio::ConnectionManager};
use tracing::{info, warn};

use super::Verdict;
use crate::{
    clock::Clock,
    config::Rate,
    error::{Error, Result},
};

/// How long nobody asks after Redis did not answer.
const PAUSE_MS: i64 = 1_000;

pub struct Together {
    redis: ConnectionManager,
    prefix: String,
    timeout: Duration,
    rate: Script,
    clock: Clock,
    /// Not asked before this time, in milliseconds.
    paused_until: AtomicI64,
    is_away: AtomicBool,
}

/// The generic cell rate algorithm: one number per person, the time at which everything allowed so far will have been earned.
const RATE: &str = r"
local now, one, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local earned = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local wait = earned + one - burst * one - now
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.3f', earned + one), 'PX', math.ceil(earned + one - now) + 1)
return 0
";

impl Together {
    pub fn new(redis: ConnectionManager, prefix: &str, timeout: Duration, clock: Clock) -> Self {
        Self {
            redis,
            is_away: AtomicBool::new(false),
            prefix: prefix.to_owned(),
            timeout,
            rate: Script::new(RATE),
            clock,
            paused_until: AtomicI64::new(0),
        }
    }

    pub(super) async fn count(
        &self,
        limit: &str,
        whom: &str,
        rate: Rate,
        now: DateTime<Utc>,
    ) -> Result<Verdict> {
        let one = rate.per.as_secs_f64() * 1_000.0 / f64::from(rate.count.get());
        let mut script = self.rate.prepare_invoke();
        script
            .key(self.key(&["limit", limit, whom]))
            .arg(now.timestamp_millis())
            .arg(one)
            .arg(rate.count.get());
        let wait: u64 = self.ask(&script).await?;
        Ok(if wait > 0 {
            Verdict::Wait(Duration::from_millis(wait))
        } else {
            Verdict::Go
        })
    }

    pub(super) fn key(&self, parts: &[&str]) -> String {
        format!("{}:{}", self.prefix, parts.join(":"))
    }

    /// Run a script, within the time that a request can spare.
    pub(super) async fn ask<T: FromRedisValue + Send>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        let now = self.clock.now().timestamp_millis();
        if now < self.paused_until.load(Ordering::Relaxed) {
            return Err(Error::unavailable("Redis did not answer a moment ago"));
        }
        let answer = tokio::time::timeout(self.timeout, async {
            let mut connection = self.redis.clone();
            script
                .invoke_async(&mut connection)
                .await
                .map_err(Error::unavailable)
        });
        let answer = answer
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("Redis did not answer in time")));
        if let Err(error) = &answer {
            self.paused_until.store(now + PAUSE_MS, Ordering::Relaxed);
            if !self.is_away.swap(true, Ordering::Relaxed) {
                warn!(cause = ?error.cause(), "Redis is away, limits are decided by this replica alone");
            }
        } else if self.is_away.swap(false, Ordering::Relaxed) {
            info!("Redis is back, limits are counted by all replicas together");
        }
        answer
    }
}

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
