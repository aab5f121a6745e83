//! Hashing passwords without letting it slow down anything else.
//!
//! A hash takes a quarter second of a core on purpose. So it runs on a few threads of its own, at low priority, and whoever asks
//! waits in one of two lanes. Log-ins have a short one, a few seconds long: when it is full, the answer is "come back", at once. Registrations have
//! a long one: the thousand people of a load test, or of a company's first morning, all get their turn. While both wait, three
//! log-ins are served for each registration.

use std::{
    collections::VecDeque,
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use shared::{problem::Reason, secret::Secret};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::error;

use crate::{
    config,
    error::{Error, Result},
    lifecycle::{be_nice, panic_text},
    telemetry::metrics::{LaneLabels, Metrics},
};

/// bcrypt reads no further than this.
const BCRYPT_READS: usize = 72;
/// Log-ins served for each registration while both wait.
const LOG_INS_IN_A_ROW: u32 = 3;
/// For each thread, so many of a lane work at once: enough to keep the thread busy while others talk to the database.
const TURNS: usize = 4;
const REFUSED_AFTER: Duration = Duration::from_secs(1);
const REFUSED_HELD: usize = 2_000;
/// However slow the machine was when it started, so many log-ins may wait for each thread.
const LOG_INS_AT_LEAST: usize = 4;

pub struct Passwords {
    lanes: Arc<Lanes>,
    log_ins: Admission,
    registrations: Admission,
    refused: Semaphore,
    cost: u32,
    threads: usize,
    /// About how long one hash keeps a thread.
    one_hash: Duration,
    /// What the passwords of unknown people are compared with, so that they take as long as known ones.
    nobody: String,
    metrics: Arc<Metrics>,
}

/// Who may wait in a lane, and who of them may work: ask the database, be hashed, open a session. The others do nothing, so a
/// thousand people who arrive at once do not fight for the connections that everybody else needs, too.
struct Admission {
    size: usize,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A place in one of the lanes; whoever has none is turned away before anything is done for them.
#[derive(Debug)]
pub struct Place {
    lane: Lane,
    turns: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
}

/// A place whose turn has come. It lasts until whoever asked is served, or until their hash is computed if they hang up.
#[derive(Clone, Debug)]
pub struct Turn {
    lane: Lane,
    _held: Arc<(Place, OwnedSemaphorePermit)>,
}

impl Place {
    pub async fn turn(self) -> Result<Turn> {
        let permit = self
            .turns
            .clone()
            .acquire_owned()
            .await
            .map_err(Error::internal)?;
        Ok(Turn {
            lane: self.lane,
            _held: Arc::new((self, permit)),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    LogIn,
    Registration,
}

impl Lane {
    fn labels(self) -> LaneLabels {
        LaneLabels {
            lane: if self == Self::LogIn {
                "log-in"
            } else {
                "registration"
            },
        }
    }
}

impl Passwords {
    pub fn start(config: &config::Auth, limits_are_on: bool, metrics: Arc<Metrics>) -> Result<Self> {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let threads = if config.password_threads == 0 {
            (cores / 2).max(1)
        } else {
            config.password_threads
        };
        let started = Instant::now();
        let nobody = bcrypt::hash("nobody has this password", config.bcrypt_cost).map_err(Error::internal)?;
        let one_hash = started.elapsed();
        // A load test that turned every limit off wants its log-ins served like registrations.
        let log_ins = if limits_are_on {
            let in_time = config.login_max_wait.as_nanos() / one_hash.as_nanos().max(1);
            threads
                * usize::try_from(in_time)
                    .unwrap_or(0)
                    .min(config.registration_queue)
                    .max(LOG_INS_AT_LEAST)
        } else {
            config.registration_queue
        };
        let lanes = Arc::new(Lanes::default());
        for number in 0..threads {
            let lanes = lanes.clone();
            let work = move || {
                be_nice("hashing passwords");
                while let Some(job) = lanes.next() {
                    // Whoever waits for a job that panicked is told; the thread goes on.
                    if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(job)) {
                        error!(panic = panic_text(&*panic), "A password hash panicked");
                    }
                }
            };
            thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(work)
                .map_err(Error::internal)?;
        }
        Ok(Self {
            lanes,
            log_ins: Admission::new(log_ins, threads),
            registrations: Admission::new(config.registration_queue, threads),
            refused: Semaphore::new(REFUSED_HELD),
            cost: config.bcrypt_cost,
            threads,
            one_hash,
            nobody,
            metrics,
        })
    }

    /// A place for a log-in.
    pub fn log_in_place(&self) -> Result<Place> {
        self.place(Lane::LogIn, &self.log_ins)
    }

    /// A place for a registration.
    pub fn registration_place(&self) -> Result<Place> {
        self.place(Lane::Registration, &self.registrations)
    }

    fn place(&self, lane: Lane, admission: &Admission) -> Result<Place> {
        let permit = admission.places.clone().try_acquire_owned().map_err(|_| {
            // Every place is taken: this is how long working them off takes.
            let rounds = u32::try_from(admission.size / self.threads).unwrap_or(u32::MAX);
            let retry_after = self.one_hash.saturating_mul(rounds).max(Duration::from_secs(1));
            Error::TooMany {
                reason: Reason::Busy,
                retry_after,
                limit: None,
            }
        })?;
        Ok(Place {
            lane,
            turns: admission.turns.clone(),
            _permit: permit,
        })
    }

    /// The hash to keep.
    pub async fn hash(&self, turn: &Turn, password: &Secret<String>) -> Result<String> {
        let (secret, cost) = (digestible(password), self.cost);
        self.run(turn, move || bcrypt::hash(secret, cost)).await
    }

    /// Does the password fit the hash? Without one it never does, and takes as long to say so.
    pub async fn verify(&self, turn: &Turn, password: &Secret<String>, hash: Option<&str>) -> Result<bool> {
        let known = hash.is_some();
        let (secret, hash) = (digestible(password), hash.unwrap_or(&self.nobody).to_owned());
        let fits = self.run(turn, move || bcrypt::verify(secret, &hash)).await?;
        Ok(fits && known)
    }

    /// Whoever is refused learns it a second later, so that a flood which asks again at once asks once a second. Beyond a number
    /// that costs nothing to hold, the answer is immediate again.
    pub async fn slow_down(&self) {
        if let Ok(_held) = self.refused.try_acquire() {
            tokio::time::sleep(REFUSED_AFTER).await;
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        turn: &Turn,
        work: impl FnOnce() -> bcrypt::BcryptResult<T> + Send + 'static,
    ) -> Result<T> {
        let asked = Instant::now();
        let (turn, lane, labels) = (turn.clone(), turn.lane, turn.lane.labels());
        let waiting = self.metrics.passwords_waiting.get_or_create(&labels).clone();
        waiting.inc();
        let (answer, outcome) = oneshot::channel();
        let job = move || {
            waiting.dec();
            // Whoever hung up meanwhile costs nothing.
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
            drop(turn);
        };
        self.lanes.add(lane, Box::new(job));
        let outcome = outcome.await.map_err(Error::internal)?.map_err(Error::internal);
        self.metrics
            .password_wait_seconds
            .get_or_create(&labels)
            .observe(asked.elapsed().as_secs_f64());
        outcome
    }
}

impl Admission {
    fn new(places: usize, threads: usize) -> Self {
        Self {
            size: places,
            places: Arc::new(Semaphore::new(places)),
            turns: Arc::new(Semaphore::new(threads * TURNS)),
        }
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.lanes.close();
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords")
            .field("threads", &self.threads)
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Lanes {
    waiting: Mutex<Waiting>,
    something_to_do: Condvar,
}

#[derive(Default)]
struct Waiting {
    log_ins: VecDeque<Job>,
    registrations: VecDeque<Job>,
    log_ins_in_a_row: u32,
    closed: bool,
}

impl Lanes {
    fn add(&self, lane: Lane, job: Job) {
        let mut waiting = self.waiting();
        match lane {
            Lane::LogIn => waiting.log_ins.push_back(job),
            Lane::Registration => waiting.registrations.push_back(job),
        }
        self.something_to_do.notify_one();
    }

    /// The next job, or nothing when there will never be one again.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting();
        loop {
            let job = waiting.take();
            if job.is_some() || waiting.closed {
                return job;
            }
            waiting = self
                .something_to_do
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.waiting().closed = true;
        self.something_to_do.notify_all();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Job> {
        let registration_is_due = self.log_ins_in_a_row >= LOG_INS_IN_A_ROW && !self.registrations.is_empty();
        if !registration_is_due && let Some(job) = self.log_ins.pop_front() {
            self.log_ins_in_a_row += 1;
            return Some(job);
        }
        self.log_ins_in_a_row = 0;
        self.registrations.pop_front()
    }
}

/// What bcrypt is given: the password, or its digest where bcrypt would cut it off or stumble over a null byte.
fn digestible(password: &Secret<String>) -> Vec<u8> {
    let bytes = password.expose().as_bytes();
    if bytes.len() <= BCRYPT_READS && !bytes.contains(&0) {
        return bytes.to_vec();
    }
    STANDARD
        .encode(
            Sha256::new()
                .chain_update("messenger password: ")
                .chain_update(bytes)
                .finalize(),
        )
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn long_passwords_are_not_cut() {
        let long = "x".repeat(72);
        assert_eq!(digestible(&secret(&long)), long.as_bytes());
        let (a, b) = (secret(&format!("{long}a")), secret(&format!("{long}b")));
        assert_ne!(digestible(&a), digestible(&b));
        assert!(digestible(&a).len() <= BCRYPT_READS);
        assert_ne!(digestible(&secret("a\0a")), digestible(&secret("a")));
    }

    #[test]
    fn log_ins_go_first_but_registrations_are_not_starved() {
        let (seen, watch) = std::sync::mpsc::channel();
        let job = |name: &'static str| -> Job {
            let seen = seen.clone();
            Box::new(move || seen.send(name).unwrap())
        };
        let lanes = Lanes::default();
        for _ in 0..2 {
            lanes.add(Lane::Registration, job("registration"));
        }
        for _ in 0..5 {
            lanes.add(Lane::LogIn, job("log-in"));
        }
        for _ in 0..7 {
            lanes.next().unwrap()();
        }
        drop(seen);
        let order: Vec<_> = watch.try_iter().collect();
        assert_eq!(
            order,
            [
                "log-in",
                "log-in",
                "log-in",
                "registration",
                "log-in",
                "log-in",
                "registration"
            ]
        );
    }
}
