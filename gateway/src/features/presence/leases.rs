//! Keep this replica's lease, and notice when another's has run out.

use std::{sync::Arc, time::Duration};

use shared::UserId;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::{gone, status, store::Renewed};
use crate::features::Backend;

/// How often the lease is renewed and others are looked at. A lease lasts ten seconds (`store::LEASE`), so whoever was on a
/// replica that died is offline everywhere after eleven.
const EVERY: Duration = Duration::from_secs(1);

pub async fn keep(backend: Arc<Backend>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match backend.presence.leases.renew().await {
            Ok(Renewed::Kept) => {}
            Ok(Renewed::Anew) => register(&backend).await,
            // Said once by whoever asked first; the link to Redis says it, too.
            Err(_) => continue,
        }
        loop {
            match backend.presence.leases.sweep().await {
                Ok(swept) => {
                    for user in swept.gone {
                        gone(&backend, user).await;
                    }
                    if swept.is_done {
                        break;
                    }
                }
                Err(error) => {
                    warn!(?error, "Cannot look for replicas that are gone");
                    break;
                }
            }
        }
    }
}

/// Redis does not know, or not for sure, who is here: say it all again.
async fn register(backend: &Backend) {
    let here: Vec<UserId> = backend.presence.local().keys().copied().collect();
    info!(people = here.len(), "Noting in Redis who is here");
    match backend.presence.leases.register(&here).await {
        Ok(changed) => {
            for user in changed.arrived {
                status::announce(backend, user, true).await;
            }
            for user in changed.gone {
                gone(backend, user).await;
            }
        }
        Err(error) => warn!(?error, "Cannot note who is here"),
    }
}
