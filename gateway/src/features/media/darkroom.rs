//! Where pictures are developed: threads of their own, at low priority, so that messages never wait for a photograph.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Instant,
};

use tokio::sync::oneshot;
use tracing::{debug, error};

use super::drawing::{LARGEST_SIDE, Refused};
use crate::{
    config,
    error::{Error, Result},
    lifecycle::{be_nice, panic_text},
    telemetry::metrics::Metrics,
};

/// More would only make all of them slower to begin with, and each may take some hundred megabytes.
const THREADS_AT_MOST: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// Who may ask is decided before (`admission`), so that the queue is never long. Dropping it ends the threads.
pub struct Darkroom {
    queue: Sender<Job>,
    metrics: Arc<Metrics>,
}

impl Darkroom {
    pub fn start(config: &config::Images, metrics: Arc<Metrics>) -> Result<Self> {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let threads = match config.image_threads {
            0 => (cores / 2).clamp(1, THREADS_AT_MOST),
            chosen => chosen,
        };
        let (queue, jobs) = channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads {
            let jobs = jobs.clone();
            let work = move || {
                be_nice("drawing images");
                while let Some(job) = next(&jobs) {
                    job();
                }
            };
            thread::Builder::new()
                .name(format!("darkroom-{number}"))
                .spawn(work)
                .map_err(Error::internal)?;
        }
        Ok(Self { queue, metrics })
    }

    /// Make something of a picture when there is a thread for it.
    pub async fn develop<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
    ) -> Result<T> {
        let asked = Instant::now();
        let waiting = self.metrics.images_waiting.clone();
        waiting.inc();
        let (answer, outcome) = oneshot::channel();
        let job = move || {
            waiting.dec();
            // Whoever hung up meanwhile costs nothing.
            if answer.is_closed() {
                return;
            }
            // A decoder that panics has met a file that it does not understand; the thread goes on.
            let outcome = panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
                let said = panic_text(&*panic).to_owned();
                error!(panic = said, "A decoder panicked");
                Err(Refused::Damaged(said))
            });
            let _ = answer.send(outcome);
        };
        self.queue
            .send(Box::new(job))
            .map_err(|_| Error::internal("the darkroom is closed"))?;
        let outcome = outcome.await.map_err(Error::internal)?;
        self.metrics.image_seconds.observe(asked.elapsed().as_secs_f64());
        Ok(outcome?)
    }
}

fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl fmt::Debug for Darkroom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Darkroom").finish_non_exhaustive()
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unsupported => {
                Self::Unsupported("Only JPEG, PNG, GIF and WebP images are supported.".into())
            }
            Refused::TooLarge => Self::invalid(
                "image",
                format!("must not have more than {LARGEST_SIDE} pixels a side"),
            ),
            Refused::TooLong => Self::invalid("image", "is too long an animation"),
            Refused::Damaged(cause) => {
                debug!(cause, "An image is damaged");
                Self::invalid("image", "is damaged or not complete")
            }
        }
    }
}
