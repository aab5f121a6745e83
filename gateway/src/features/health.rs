//! How this replica and what it relies on are doing.

use std::{future::Future, time::Duration};

use shared::health::{Checks, State};
use tokio::{sync::Mutex, time::Instant};
use tracing::debug;

use crate::{error::Result, features::Backend, telemetry::metrics::ServiceLabels};

/// Anybody may ask; the services behind are asked at most this often.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Who asks about health wants to know soon.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Health {
    last: Mutex<Option<(Instant, Checks)>>,
}

pub async fn checks(backend: &Backend) -> Checks {
    let mut last = backend.health.last.lock().await;
    if let Some((at, checks)) = *last
        && at.elapsed() < REMEMBERED
    {
        return checks;
    }
    let (database, redis, storage) = tokio::join!(
        check(backend, "database", backend.db.check()),
        check(backend, "redis", backend.bus.check()),
        check(backend, "storage", backend.blobs.check()),
    );
    let checks = Checks {
        database,
        redis,
        storage,
    };
    *last = Some((Instant::now(), checks));
    checks
}

async fn check(backend: &Backend, service: &'static str, asked: impl Future<Output = Result<()>>) -> State {
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    let is_up = matches!(answer, Ok(Ok(())));
    let up = backend
        .metrics
        .service_up
        .get_or_create(&ServiceLabels { service });
    up.set(is_up.into());
    if is_up {
        return State::Ok;
    }
    debug!(service, ?answer, "A health check failed");
    State::Error
}
