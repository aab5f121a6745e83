//! Keep this replica's lease, and notice when another's has run out.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use shared::UserId;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::{gone, status, store::Renewed};
use crate::{
    error::Result,
    features::{Backend, sessions::broken_lines},
};

/// How often the lease is renewed and others are looked at. A lease lasts ten seconds (`store::LEASE`), so whoever was on a
/// replica that died is offline everywhere after eleven, or thirteen if Redis was away, too.
const EVERY: Duration = Duration::from_secs(1);
/// When Redis was away, all leases have run out, and the first replica that is back must not take the others for dead: it leaves
/// them so many rounds to come back, too.
const PATIENCE: u32 = 2;

pub async fn keep(backend: Arc<Backend>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known_for = 0;
    loop {
        ticks.tick().await;
        let mut changed = Changed::default();
        let noted = match backend.presence.leases.renew().await {
            Ok(Renewed::Kept) => {
                known_for += 1;
                Ok(())
            }
            Ok(Renewed::Anew) => {
                known_for = 0;
                register(&backend, &mut changed).await
            }
            // Said once by whoever asked first; the link to Redis says it, too.
            Err(_) => continue,
        };
        let swept = match noted {
            Ok(()) if known_for >= PATIENCE => sweep(&backend, &mut changed).await,
            noted => noted,
        };
        if let Err(error) = swept {
            warn!(?error, "Cannot note who is here");
        }
        tell(&backend, changed);
    }
}

/// Who came and went, so that others have to be told.
#[derive(Debug, Default)]
struct Changed {
    arrived: Vec<UserId>,
    gone: Vec<UserId>,
    /// Whose connections broke with a replica, and for how long it had been silent.
    broken: Vec<(TimeDelta, Vec<UserId>)>,
}

/// Redis does not know, or not for sure, who is here: say it all again. People come and go meanwhile, so each is looked at twice.
async fn register(backend: &Backend, changed: &mut Changed) -> Result<()> {
    let (presence, known) = (&backend.presence, backend.presence.leases.known().await?);
    let here: Vec<UserId> = presence.local().keys().copied().collect();
    info!(people = here.len(), "Noting in Redis who is here");
    for user in here.iter().copied() {
        if presence.leases.arrive(user).await? {
            changed.arrived.push(user);
        }
    }
    presence.unnoted().extend(here.into_iter().chain(known));
    loop {
        // Only one at a time: whoever is not noted this time is the next.
        let Some(user) = presence.unnoted().iter().next().copied() else {
            return Ok(());
        };
        if !presence.is_local(user) && presence.leases.leave(user).await? {
            changed.gone.push(user);
        }
        presence.unnoted().remove(&user);
        if presence.is_local(user) && presence.leases.arrive(user).await? {
            changed.arrived.push(user);
        }
    }
}

/// Take out the people of replicas that are gone.
async fn sweep(backend: &Backend, changed: &mut Changed) -> Result<()> {
    loop {
        let swept = backend.presence.leases.sweep().await?;
        if swept.is_done {
            return Ok(());
        }
        changed.broken.push((
            swept.silent_for,
            swept.gone.iter().chain(&swept.elsewhere).copied().collect(),
        ));
        changed.gone.extend(swept.gone);
    }
}

/// Beside the lease, which must not wait for thousands of people to be looked up.
fn tell(backend: &Arc<Backend>, changed: Changed) {
    if changed.arrived.is_empty() && changed.gone.is_empty() && changed.broken.is_empty() {
        return;
    }
    let for_later = backend.clone();
    backend.tasks.spawn("tell who came and went", async move {
        for (silent_for, users) in changed.broken {
            broken_lines::note_dead_replica(&for_later, users, silent_for).await;
        }
        for user in changed.arrived {
            status::announce(&for_later, user, true).await;
        }
        for user in changed.gone {
            gone(&for_later, user).await;
        }
    });
}
