//! Periodic work: a list of small acts, each harmless to repeat.
//!
//! What concerns the database is done by one replica at a time, under an advisory lock, so identical replicas need no leader.

mod condense_messages;
mod expire_sessions;
mod remove_images;
mod sweep_uploads;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::warn;

use crate::{error::Error, features::Backend, lifecycle::Tasks};

/// No chore takes so long, unless what it asks does not answer any more.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn start(tasks: &Tasks, backend: &Arc<Backend>) {
    every(
        tasks,
        "forget idle limits",
        Duration::from_secs(60),
        backend,
        async |backend: Arc<Backend>| {
            backend.limits.forget_idle();
            backend.attempts.forget_idle();
            Ok(())
        },
    );
    every(
        tasks,
        "expire sessions",
        Duration::from_secs(3_600),
        backend,
        expire_sessions::expire_sessions,
    );
    every(
        tasks,
        "condense messages",
        Duration::from_secs(2),
        backend,
        condense_messages::condense_messages,
    );
    every(
        tasks,
        "remove images",
        Duration::from_secs(2),
        backend,
        remove_images::remove_images,
    );
    every(
        tasks,
        "sweep uploads",
        Duration::from_secs(600),
        backend,
        sweep_uploads::sweep_uploads,
    );
    let (blobs, stop) = (backend.blobs.clone(), tasks.clone());
    tasks.spawn("make the bucket", async move {
        tokio::select! {
            () = blobs.ensure_bucket() => {}
            // Whoever leaves does not wait for a storage that is away.
            () = stop.closing() => {}
        }
    });
}

fn every<F>(
    tasks: &Tasks,
    name: &'static str,
    period: Duration,
    backend: &Arc<Backend>,
    chore: impl Fn(Arc<Backend>) -> F + Send + Sync + 'static,
) where
    F: Future<Output = crate::Result<()>> + Send,
{
    let (backend, stop) = (backend.clone(), tasks.clone());
    tasks.spawn_lasting(name, async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.closing() => return,
            }
            // A chore that waits for a server that vanished must not wait for ever.
            let done = tokio::select! {
                done = timeout(PATIENCE, chore(backend.clone())) => done,
                // Whoever leaves does not wait for a storage that is away; another replica does the rest.
                () = stop.closing() => return,
            };
            if let Err(error) = done.unwrap_or_else(|late| Err(Error::unavailable(late))) {
                warn!(?error, chore = name, "A chore failed and will be tried again");
            }
        }
    });
}
