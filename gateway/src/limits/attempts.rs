//! Lock-out: five wrong passwords for a name within 15 minutes close that name for 15 minutes, whichever replicas they came to.
//!
//! Failures are counted when they are known, so right passwords never count, however many come at once. What is not known yet
//! is reserved: failures and attempts under way never exceed the limit together, and whoever would exceed it waits for the
//! outcome of the others. So a burst of guesses gets exactly five answers. Unknown names are counted like any other.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use redis::Script;
use sha2::{Digest, Sha256};
use shared::problem::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use uuid::Uuid;

use super::Together;
use crate::{
    clock::Clock,
    error::{Error, Result},
    lifecycle::Tasks,
};

const FAILURES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(15 * 60);
const LOCKED: Duration = Duration::from_secs(15 * 60);
/// An attempt whose replica died holds its place for so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long somebody waits for the outcome of attempts on other replicas.
const WAITED_FOR: Duration = Duration::from_secs(5);
/// How often whoever waits for the outcome of attempts on other replicas asks again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// → milliseconds for which the name is locked, 0 to go ahead, -1 to wait for attempts under way
const BEGIN: &str = r"
local now, window, limit, patience = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local locked = tonumber(redis.call('GET', KEYS[1]) or 0)
if locked > now then return locked - now end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3]) >= limit then return -1 end
redis.call('ZADD', KEYS[3], now + patience, ARGV[5])
redis.call('PEXPIRE', KEYS[3], patience)
return 0
";

/// → milliseconds for which the name is locked now
const END: &str = r"
local now, window, limit, lock = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZREM', KEYS[3], ARGV[5])
if ARGV[6] == '0' then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - window)
redis.call('ZADD', KEYS[2], now, ARGV[5])
redis.call('PEXPIRE', KEYS[2], window)
if redis.call('ZCARD', KEYS[2]) < limit then return 0 end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], now + lock, 'PX', lock)
return lock
";

pub struct Attempts {
    on: bool,
    together: Arc<Together>,
    begin: Script,
    end: Script,
    names: Mutex<HashMap<String, Name>>,
    clock: Clock,
    tasks: Tasks,
}

/// What this replica knows of a name by itself.
struct Name {
    /// Attempts on one replica take turns, so that few of them have to wait for each other through Redis.
    turn: Arc<Semaphore>,
    failures: Vec<DateTime<Utc>>,
    locked_until: Option<DateTime<Utc>>,
}

impl Attempts {
    pub fn new(on: bool, together: Arc<Together>, clock: Clock, tasks: Tasks) -> Arc<Self> {
        Arc::new(Self {
            on,
            together,
            begin: Script::new(BEGIN),
            end: Script::new(END),
            names: Mutex::default(),
            clock,
            tasks,
        })
    }

    /// Reserve one guess at the password of `name`; tell its outcome to what comes back.
    pub async fn begin(self: &Arc<Self>, name: &str) -> Result<Attempt> {
        if !self.on {
            return Ok(Attempt { of: None });
        }
        // Names come from anybody and may be anything: a digest has a fixed length and no special characters.
        let digest = Sha256::digest(name.as_bytes());
        let name: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self.refuse_if_locked(&name)?;
        let turn = self
            .names()
            .entry(name.clone())
            .or_insert_with(Name::new)
            .turn
            .clone();
        let turn = turn.acquire_owned().await.map_err(Error::internal)?;
        // Whoever had the turn before may have been the fifth.
        self.refuse_if_locked(&name)?;
        let reserved = Reserved {
            attempts: self.clone(),
            name: name.clone(),
            id: Uuid::new_v4().to_string(),
            _turn: turn,
        };
        // From here on, whoever hangs up gives back what they may have reserved.
        let attempt = Attempt { of: Some(reserved) };
        let started = Instant::now();
        while let Some(reserved) = &attempt.of {
            match reserved.ask_begin().await {
                Ok(wait) if wait < 0 && started.elapsed() > WAITED_FOR => {
                    return Err(Error::TooMany {
                        reason: Reason::Busy,
                        retry_after: WAITED_FOR,
                        limit: None,
                    });
                }
                Ok(wait) if wait < 0 => tokio::time::sleep(ASK_AGAIN).await,
                Ok(0) => break,
                Ok(_) => self.refuse_if_locked(&name)?,
                // Redis is away: what this replica counted itself has been looked at.
                Err(_) => break,
            }
        }
        Ok(attempt)
    }

    /// Forget names that nobody tries any more.
    pub fn forget_idle(&self) {
        let now = self.clock.now();
        self.names().retain(|_, name| {
            name.failures.retain(|at| *at > now - WINDOW);
            name.locked_until = name.locked_until.filter(|until| *until > now);
            !name.failures.is_empty() || name.locked_until.is_some() || Arc::strong_count(&name.turn) > 1
        });
    }

    fn refuse_if_locked(&self, name: &str) -> Result<()> {
        let now = self.clock.now();
        let until = self
            .names()
            .get(name)
            .and_then(|name| name.locked_until)
            .filter(|until| *until > now);
        let Some(until) = until else { return Ok(()) };
        let retry_after = (until - now).to_std().unwrap_or_default();
        Err(Error::TooMany {
            reason: Reason::AccountLocked,
            retry_after,
            limit: Some(FAILURES),
        })
    }

    fn lock(&self, name: &str, time: Duration) {
        let until = self.clock.after(time);
        self.names()
            .entry(name.to_owned())
            .or_insert_with(Name::new)
            .locked_until = Some(until);
    }

    fn count_failure(&self, name: &str) {
        let now = self.clock.now();
        let mut names = self.names();
        let known = names.entry(name.to_owned()).or_insert_with(Name::new);
        known.failures.retain(|at| *at > now - WINDOW);
        known.failures.push(now);
        if known.failures.len() >= FAILURES as usize {
            known.failures.clear();
            known.locked_until = Some(now + LOCKED);
        }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Name>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Name {
    fn new() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            failures: Vec::new(),
            locked_until: None,
        }
    }
}

/// A guess that has been reserved. Dropped without an outcome, it gives its place back.
pub struct Attempt {
    of: Option<Reserved>,
}

impl Attempt {
    pub async fn succeeded(mut self) {
        if let Some(reserved) = self.of.take() {
            reserved.end(false).await;
        }
    }

    pub async fn failed(mut self) {
        if let Some(reserved) = self.of.take() {
            reserved.attempts.count_failure(&reserved.name);
            reserved.end(true).await;
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(reserved) = self.of.take() {
            drop(reserved.end(false));
        }
    }
}

struct Reserved {
    attempts: Arc<Attempts>,
    name: String,
    id: String,
    _turn: OwnedSemaphorePermit,
}

impl Reserved {
    /// The keys of one name carry it in braces, so that a Redis cluster keeps them together.
    fn keys(&self) -> [String; 3] {
        let name = format!("{{{}}}", self.name);
        ["locked", "failures", "under-way"].map(|what| self.attempts.together.key(&["log-in", &name, what]))
    }

    async fn ask_begin(&self) -> Result<i64> {
        let of = &self.attempts;
        let mut script = of.begin.prepare_invoke();
        for key in self.keys() {
            script.key(key);
        }
        script
            .arg(of.clock.now().timestamp_millis())
            .arg(millis(WINDOW))
            .arg(FAILURES)
            .arg(millis(PATIENCE))
            .arg(&self.id);
        let answer: i64 = of.together.ask(&script).await?;
        if let Ok(locked @ 1..) = u64::try_from(answer) {
            of.lock(&self.name, Duration::from_millis(locked));
        }
        Ok(answer)
    }

    /// Say what became of it. That is done even if whoever waits for it hangs up.
    fn end(self, failed: bool) -> impl Future<Output = ()> {
        let (done, ended) = oneshot::channel();
        let tasks = self.attempts.tasks.clone();
        tasks.spawn("end a log-in attempt", async move {
            self.ask_end(failed).await;
            let _ = done.send(());
        });
        async move {
            let _ = ended.await;
        }
    }

    async fn ask_end(&self, failed: bool) {
        let of = &self.attempts;
        let mut script = of.end.prepare_invoke();
        for key in self.keys() {
            script.key(key);
        }
        script
            .arg(of.clock.now().timestamp_millis())
            .arg(millis(WINDOW))
            .arg(FAILURES)
            .arg(millis(LOCKED))
            .arg(&self.id);
        script.arg(i32::from(failed));
        if let Ok(locked @ 1..) = of.together.ask::<u64>(&script).await {
            of.lock(&self.name, Duration::from_millis(locked));
        }
    }
}

fn millis(time: Duration) -> i64 {
    TimeDelta::from_std(time).map_or(i64::MAX, |time| time.num_milliseconds())
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("on", &self.on)
            .finish_non_exhaustive()
    }
}
