//! What this replica tells the others, one behind the other over one connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Pipeline, aio::ConnectionManager};
use tokio::sync::mpsc;
use tracing::{info, warn};
use uuid::Uuid;

use super::wire::{self, Envelope};
use crate::telemetry::metrics::Metrics;

/// How long a notice may wait for an event to go out with.
const PAUSE: Duration = Duration::from_millis(200);
/// Events that go out together at most.
const AT_ONCE: usize = 256;

pub struct Publisher {
    pub(super) redis: ConnectionManager,
    pub(super) prefix: Arc<str>,
    pub(super) origin: Uuid,
    pub(super) outbox: mpsc::Receiver<Envelope>,
    /// Something was not published: others have to be told to look it up.
    pub(super) owes_a_notice: Arc<AtomicBool>,
    pub(super) timeout: Duration,
    pub(super) metrics: Arc<Metrics>,
}

impl Publisher {
    /// Publish for ever. What cannot be published is dropped, because it is in the log; once Redis takes events again, everybody
    /// is told to look there.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        loop {
            tokio::select! {
                count = self.outbox.recv_many(&mut batch, AT_ONCE) => if count == 0 { return },
                () = tokio::time::sleep(PAUSE), if self.owes_a_notice.load(Ordering::Relaxed) => {}
            }
            self.metrics
                .bus_waiting
                .set(i64::try_from(self.outbox.len()).unwrap_or(i64::MAX));
            let mut pipeline = Pipeline::with_capacity(batch.len() + 1);
            for envelope in &batch {
                let channel = super::channel(&self.prefix, envelope.topic);
                pipeline
                    .publish(channel, wire::pack(self.origin, envelope))
                    .ignore();
            }
            let owed_a_notice = self.owes_a_notice.swap(false, Ordering::Relaxed);
            if owed_a_notice {
                pipeline
                    .publish(super::everybody(&self.prefix), super::LOOK_IT_UP)
                    .ignore();
            }
            let published =
                tokio::time::timeout(self.timeout, pipeline.query_async::<()>(&mut self.redis)).await;
            let failure = match published {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            match failure {
                None if owed_a_notice => info!("Redis takes events again"),
                None => {}
                Some(error) => {
                    self.metrics.events_unpublished.inc_by(batch.len() as u64);
                    if !owed_a_notice {
                        warn!(%error, "Cannot publish: other replicas read the log until Redis is back");
                    }
                    self.owes_a_notice.store(true, Ordering::Relaxed);
                }
            }
            batch.clear();
        }
    }
}
