//! Let go of what nobody needs: uploads that no message ever used, and objects that nothing refers to.

use chrono::TimeDelta;
use futures_util::future::join_all;
use tracing::{info, warn};

use super::store;
use crate::{error::Result, features::Backend};

/// How long an upload may wait for its message.
const UNUSED: TimeDelta = TimeDelta::hours(24);
/// Objects that are removed at once.
const BATCH: i64 = 50;
/// What could not be removed is tried again after this, so that it stands in nobody's way.
const LATER: TimeDelta = TimeDelta::minutes(1);

/// Uploads that were never used are forgotten after a day.
pub async fn unused_uploads(backend: &Backend) -> Result<()> {
    let mut tx = backend.begin().await?;
    let forgotten = store::forget_unused(&mut tx, backend.clock.now() - UNUSED).await?;
    tx.commit().await?;
    if forgotten > 0 {
        info!(forgotten, "Forgot uploads that no message used");
    }
    Ok(())
}

/// Remove what is due. Two replicas may do this at once: an object that is gone can be removed again.
pub async fn forgotten_blobs(backend: &Backend) -> Result<()> {
    loop {
        let keys = store::due(&backend.db, backend.clock.now(), BATCH).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let removed = join_all(keys.iter().map(|key| backend.blobs.remove(key))).await;
        let (mut gone, mut left) = (Vec::new(), Vec::new());
        for (key, outcome) in keys.into_iter().zip(removed) {
            match outcome {
                Ok(()) => gone.push(key),
                Err(error) => {
                    warn!(key, ?error, "Cannot remove an image now");
                    left.push(key);
                }
            }
        }
        let mut tx = backend.begin().await?;
        store::strike_out(&mut tx, &gone).await?;
        store::postpone(&mut tx, &left, backend.clock.now() + LATER).await?;
        tx.commit().await?;
    }
}
