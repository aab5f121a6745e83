//! The write lane: what arrives while a transaction is under way shares the next one.
//!
//! A commit costs about as much for one row as for hundreds, so under load hundreds share one. Nobody waits for company: as long as
//! there is a free berth, whoever comes begins at once, alone, and an idle system adds no delay.
//!
//! What does not fit is refused at once, and what has waited too long is refused then: both can be asked again. Whoever goes away
//! while waiting has asked for nothing.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};
use tracing::{error, info, warn};

use crate::{
    error::{Error, Result},
    lifecycle::{Tasks, panic_text},
    telemetry::metrics::{Metrics, ReasonLabels},
};

/// Lanes side by side. With one, the processor idles while a transaction is written to disk; with more than a few, they are too small.
pub(super) const LANES: usize = 2;
/// Transactions of a lane under way at once. Those in one lane would wait for each other in the database anyway.
const BERTHS: usize = 1;
/// Entries that share a transaction at most.
const TOGETHER: usize = 256;
/// Entries that may wait in a lane at most.
const ROOM: usize = 2_048;
/// And so many bytes of them.
const BYTES: usize = 8 * 1024 * 1024;
/// How long an entry may wait to begin.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often that is looked at, while nothing can begin.
const PULSE: Duration = Duration::from_millis(50);
/// How long a transaction may take before those who share it are told that nobody knows. It is bounded by the database itself, too,
/// unless that is frozen.
const AT_MOST: Duration = Duration::from_secs(5);

/// Several lanes. What would wait for each other in the database goes into the same one.
#[derive(Debug)]
pub struct Lanes<A, B>([Lane<A, B>; LANES]);

impl<A, B> Lanes<A, B>
where
    A: Clone + Send + 'static,
    B: Send + 'static,
{
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self(std::array::from_fn(|_| Lane::new(metrics.clone())))
    }

    /// Have it done together with what else is waiting for the same thing, and perhaps for others.
    pub async fn ask(&self, thing: impl Hash, ask: A, bytes: usize) -> Result<B> {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        let lane = &self.0[hasher.finish() as usize % LANES];
        lane.ask(ask, bytes).await
    }

    pub fn are_waiting(&self) -> bool {
        self.0.iter().any(|lane| !lane.queue().waiting.is_empty())
    }

    /// Work off what waits, for ever.
    pub async fn run<F>(&self, tasks: &Tasks, work: impl Fn(Vec<A>) -> F + Clone + Send + Sync + 'static)
    where
        F: Future<Output = Result<Vec<Result<B>>>> + Send,
    {
        join_all(self.0.iter().map(|lane| lane.run(tasks, work.clone()))).await;
    }
}

/// Where entries wait: `A` is what is asked, `B` the answer.
struct Lane<A, B> {
    queue: Mutex<Queue<A, B>>,
    some: Notify,
    berths: Arc<Semaphore>,
    /// Some had to be refused, and the queue has not been empty since.
    is_overloaded: AtomicBool,
    metrics: Arc<Metrics>,
}

struct Queue<A, B> {
    waiting: VecDeque<Waiting<A, B>>,
    bytes: usize,
}

struct Waiting<A, B> {
    ask: A,
    bytes: usize,
    since: Instant,
    answer: oneshot::Sender<Result<B>>,
}

impl<A, B> Lane<A, B>
where
    A: Clone + Send + 'static,
    B: Send + 'static,
{
    fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                bytes: 0,
            }),
            some: Notify::new(),
            berths: Arc::new(Semaphore::new(BERTHS)),
            is_overloaded: AtomicBool::new(false),
            metrics,
        }
    }

    /// Have it done together with what else is waiting. `bytes` is how much memory it takes up meanwhile.
    async fn ask(&self, ask: A, bytes: usize) -> Result<B> {
        let (answer, answered) = oneshot::channel();
        let entry = Waiting {
            ask,
            bytes,
            since: Instant::now(),
            answer,
        };
        if !self.queue().take_in(entry) {
            self.refused("full");
            return Err(Error::unavailable(
                "more waits to be written than there is room for",
            ));
        }
        self.metrics.lane_waiting.inc();
        self.some.notify_one();
        match answered.await {
            Ok(outcome) => outcome,
            Err(cut) => Err(Error::unavailable(cut)),
        }
    }

    /// Work off what waits, for ever. `work` answers each of the entries it is given, or fails for all of them; then nothing of them
    /// may have been written.
    async fn run<F>(&self, tasks: &Tasks, work: impl Fn(Vec<A>) -> F + Clone + Send + Sync + 'static)
    where
        F: Future<Output = Result<Vec<Result<B>>>> + Send,
    {
        loop {
            let berth = self.berth().await;
            let together = self.next().await;
            self.metrics.lane_together.observe(together.len() as f64);
            let work = work.clone();
            tasks.spawn("share a transaction", async move {
                share(together, work).await;
                drop(berth);
            });
        }
    }

    async fn berth(&self) -> OwnedSemaphorePermit {
        loop {
            let berth = tokio::time::timeout(PULSE, self.berths.clone().acquire_owned()).await;
            if let Ok(Ok(berth)) = berth {
                return berth;
            }
            self.refuse_overdue();
        }
    }

    /// Those who share the next transaction; there is at least one.
    async fn next(&self) -> Vec<Waiting<A, B>> {
        loop {
            self.refuse_overdue();
            let together = self.let_out(|together, _| together < TOGETHER);
            if self.queue().waiting.is_empty() && self.is_overloaded.swap(false, Ordering::Relaxed) {
                info!("All that is asked is written again");
            }
            if !together.is_empty() {
                return together;
            }
            self.some.notified().await;
        }
    }

    fn refuse_overdue(&self) {
        let now = Instant::now();
        for overdue in self.let_out(|_, entry| now - entry.since > PATIENCE) {
            self.refused("late");
            let cause = "it has waited too long to be written";
            let _ = overdue.answer.send(Err(Error::unavailable(cause)));
        }
    }

    /// The first in the queue, as long as they are wanted. Whoever went away meanwhile is left out.
    fn let_out(&self, mut is_wanted: impl FnMut(usize, &Waiting<A, B>) -> bool) -> Vec<Waiting<A, B>> {
        let mut queue = self.queue();
        let mut out = Vec::new();
        while let Some(first) = queue.waiting.pop_front_if(|first| is_wanted(out.len(), first)) {
            queue.bytes -= first.bytes;
            self.metrics.lane_waiting.dec();
            if !first.answer.is_closed() {
                out.push(first);
            }
        }
        out
    }

    fn refused(&self, reason: &'static str) {
        if !self.is_overloaded.swap(true, Ordering::Relaxed) {
            warn!(
                reason,
                "More is asked than PostgreSQL writes, some of it is refused"
            );
        }
        self.metrics
            .lane_refused
            .get_or_create(&ReasonLabels { reason })
            .inc();
    }

    fn queue(&self) -> MutexGuard<'_, Queue<A, B>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A, B> Queue<A, B> {
    /// Says no, if there is no room.
    fn take_in(&mut self, entry: Waiting<A, B>) -> bool {
        let has_room = self.waiting.len() < ROOM && self.bytes + entry.bytes <= BYTES;
        if has_room {
            self.bytes += entry.bytes;
            self.waiting.push_back(entry);
        }
        has_room
    }
}

async fn share<A, B, F>(together: Vec<Waiting<A, B>>, work: impl Fn(Vec<A>) -> F)
where
    A: Clone,
    F: Future<Output = Result<Vec<Result<B>>>>,
{
    let asks = together.iter().map(|entry| entry.ask.clone()).collect();
    match attempt(&work, asks).await {
        Ok(outcomes) => {
            for (entry, outcome) in together.into_iter().zip(outcomes) {
                let _ = entry.answer.send(outcome);
            }
        }
        // Somebody among them brought us down: the others are not to suffer for it.
        Err(Error::Internal(_)) if together.len() > 1 => {
            for entry in together {
                let alone = attempt(&work, vec![entry.ask]).await;
                let outcome = alone.and_then(|outcomes| {
                    let outcome = outcomes.into_iter().next();
                    outcome.unwrap_or_else(|| Err(Error::internal("an entry that got no answer")))
                });
                let _ = entry.answer.send(outcome);
            }
        }
        Err(error) => {
            for entry in together {
                let _ = entry.answer.send(Err(alike(&error)));
            }
        }
    }
}

async fn attempt<A, B, F>(work: &impl Fn(Vec<A>) -> F, asks: Vec<A>) -> Result<Vec<Result<B>>>
where
    F: Future<Output = Result<Vec<Result<B>>>>,
{
    let working = async { tokio::time::timeout(AT_MOST, work(asks)).await };
    match AssertUnwindSafe(working).catch_unwind().await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(late)) => Err(Error::unavailable(late)),
        Err(panic) => {
            let panic = panic_text(&*panic);
            error!(panic, "Writing together panicked");
            Err(Error::internal(format!("a panic: {panic}")))
        }
    }
}

/// The same failure for one more of those who share it.
fn alike(error: &Error) -> Error {
    let cause = error
        .cause()
        .map_or_else(|| format!("{error:?}"), ToString::to_string);
    match error {
        Error::Unavailable(_) => Error::unavailable(cause),
        _ => Error::internal(cause),
    }
}

impl<A, B> fmt::Debug for Lane<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}
