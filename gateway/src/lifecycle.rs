//! From start to stop: tasks with names, and the order in which a replica leaves.
//!
//! Leaving has three steps, each a moment that tasks can wait for. *Draining*: readiness is off, everything still works.
//! *Closing*: nothing new is accepted, what runs may finish. *Cut*: the time is up. A later step implies the earlier ones. A
//! lasting task that ends by itself starts the drain: a replica that lacks a part of itself must be replaced, not limp on.

mod moment;

use std::{
    any::Any,
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, error, error_span, info, warn};

use self::moment::Moment;

#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    /// What others stand on: it goes on until they are done.
    underneath: TaskTracker,
    draining: Moment,
    closing: Moment,
    cut: Moment,
    /// One for all tasks of a name: a span takes most of a kilobyte.
    spans: Arc<Mutex<HashMap<&'static str, Span>>>,
}

/// Work is boxed before it is wrapped: each wrapping would take room for it once more.
impl Tasks {
    /// Spawn work that ends by itself. It is waited for while closing and dropped at the cut.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        let work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        let guarded = async move {
            tokio::select! {
                ended = work => if let Err(panic) = ended { error!(panic = panic_text(&*panic), "A task panicked") },
                () = cut.comes() => {}
            }
        };
        self.track(guarded.instrument(self.span(name)));
    }

    /// Spawn work that lasts as long as the process. If it ends while nobody asked it to, the replica drains.
    pub fn spawn_lasting(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let tasks = self.clone();
        let work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        let guarded = async move {
            tokio::select! {
                ended = work => {
                    let panic = ended.as_ref().err().map(|panic| panic_text(&**panic));
                    if !tasks.closing.has_come() {
                        error!(panic, "A lasting task ended unexpectedly, this replica leaves");
                        tasks.draining.come();
                    }
                }
                () = tasks.cut.comes() => {}
            }
        };
        self.track(guarded.instrument(self.span(name)));
    }

    /// Spawn lasting work that other tasks need until their end. It is not waited for; it stops after them.
    pub fn spawn_underneath(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let tasks = self.clone();
        let work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        let guarded = async move {
            tokio::select! {
                ended = work => {
                    let panic = ended.as_ref().err().map(|panic| panic_text(&**panic));
                    error!(panic, "A lasting task ended unexpectedly, this replica leaves");
                    tasks.draining.come();
                }
                () = tasks.cut.comes() => {}
            }
        };
        let guarded = guarded.instrument(self.span(name));
        #[expect(clippy::disallowed_methods, reason = "this is the place that spawns")]
        drop(tokio::spawn(self.underneath.track_future(guarded)));
    }

    fn span(&self, name: &'static str) -> Span {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let span = spans
            .entry(name)
            .or_insert_with(|| error_span!(parent: None, "task", task = name));
        span.clone()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the place that spawns")]
    fn track(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(self.tracker.track_future(work)));
    }

    /// Readiness is off from here on.
    pub fn is_draining(&self) -> bool {
        self.draining.has_come()
    }

    /// Resolves when the drain is asked for.
    pub async fn draining(&self) {
        self.draining.comes().await;
    }

    /// Resolves when nothing new may be started.
    pub async fn closing(&self) {
        self.closing.comes().await;
    }

    /// Ask for the drain, as SIGTERM does.
    pub fn drain(&self) {
        self.draining.come();
    }

    /// Stop at once, as a second SIGTERM does: whatever runs is dropped where it is.
    pub fn cut(&self) {
        self.cut.come();
    }

    /// Live through the drain, once it is asked for, to the end.
    pub async fn finish(&self, drain_delay: Duration, timeout: Duration) {
        self.draining.comes().await;
        info!(?drain_delay, "Draining: not ready any more, still serving");
        tokio::select! {
            () = tokio::time::sleep(drain_delay) => {}
            () = self.cut.comes() => {}
        }
        self.closing.come();
        self.tracker.close();
        info!(
            tasks = self.tracker.len(),
            ?timeout,
            "Closing: nothing new is accepted"
        );
        tokio::select! {
            () = self.tracker.wait() => {}
            () = self.cut.comes() => {}
            () = tokio::time::sleep(timeout) => warn!(tasks = self.tracker.len(), "The time is up, cutting what still runs"),
        }
        self.cut.come();
        self.tracker.wait().await;
        self.underneath.close();
        self.underneath.wait().await;
        info!("Stopped");
    }

    /// The first SIGTERM or SIGINT drains, the second stops at once.
    pub fn obey_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let tasks = self.clone();
        // Not tracked: it must outlive what it stops.
        #[expect(clippy::disallowed_methods, reason = "signals are obeyed until the very end")]
        tokio::spawn(async move {
            for step in ["drain", "cut"] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                info!(signal = name, step, "Asked to stop");
                if step == "drain" {
                    tasks.draining.come();
                } else {
                    tasks.cut.come();
                }
            }
        });
        Ok(())
    }
}

/// Each connection is an open file, and shells allow a thousand; take as many as this process may.
pub fn allow_many_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "Cannot raise the limit of open files: connections beyond it will be refused");
    }
}

/// On Linux, priorities belong to threads: the calling one steps behind all others of this process.
pub fn be_nice(work: &str) {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        error!(%error, work, "Cannot lower the priority of a thread; its work may slow down requests");
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn closing_waits_for_work_and_the_cut_does_not() {
        let tasks = Tasks::default();
        let (done, finished) = tokio::sync::oneshot::channel();
        tasks.spawn("short", async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = done.send(());
        });
        tasks.drain();
        tasks.finish(Duration::ZERO, LONG).await;
        assert!(finished.await.is_ok(), "work that was under way has finished");

        let tasks = Tasks::default();
        tasks.spawn("endless", std::future::pending());
        tasks.drain();
        tasks.finish(Duration::ZERO, Duration::from_millis(50)).await;
    }

    #[tokio::test]
    async fn the_death_of_a_lasting_task_starts_the_drain() {
        for death in [true, false] {
            let tasks = Tasks::default();
            tasks.spawn_lasting("fragile", async move { assert!(!death, "on purpose") });
            tokio::time::timeout(LONG, tasks.draining.comes()).await.unwrap();
            assert!(tasks.is_draining());
        }
    }

    #[tokio::test]
    async fn a_panic_in_one_task_leaves_the_others_alone() {
        let tasks = Tasks::default();
        tasks.spawn("unlucky", async { panic!("on purpose") });
        tasks.tracker.close();
        tasks.tracker.wait().await;
        assert!(!tasks.is_draining());
    }
}
