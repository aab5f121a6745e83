//! How this replica and what it relies on are doing.

use std::{future::Future, time::Duration};

use shared::health::{Checks, State};
use tokio::{sync::Mutex, time::Instant};
use tracing::debug;

use crate::{error::Result, features::Backend};

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
        check("database", backend.db.check()),
        check("redis", backend.bus.check()),
        check("storage", backend.blobs.check()),
    );
    let checks = Checks {
        database,
        redis,
        storage,
    };
    *last = Some((Instant::now(), checks));
    checks
}

async fn check(name: &str, asked: impl Future<Output = Result<()>>) -> State {
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    if let Ok(Ok(())) = answer {
        return State::Ok;
    }
    debug!(name, ?answer, "A health check failed");
    State::Error
}
