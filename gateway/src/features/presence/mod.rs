//! Who is there. A person is there as long as one of their sockets is, on any replica.
//!
//! Each replica holds a lease in Redis and, beside it, the set of people with sockets on it; a person's set names the replicas they
//! are on. A replica renews one lease for all its sockets at once, so ten thousand sockets cost as much as one. If it dies, its
//! lease runs out and whichever replica notices first takes its people out.

mod leases;
mod status;
mod store;
pub mod typing;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared::UserId;
use tracing::warn;

use self::store::Leases;
pub use self::{
    leases::keep,
    status::{announce_choice, choose, in_chats, seen, seen_by, seen_by_all, shown},
};

use crate::{
    bus::Bus,
    features::{Backend, Caller},
};

/// Clients come back at once after every change of view (contract 3.4); nobody needs to hear of it.
const GRACE: Duration = Duration::from_millis(1_500);

pub struct Presence {
    leases: Leases,
    local: Mutex<HashMap<UserId, usize>>,
    /// Who left while Redis was away: nobody knows it yet.
    unnoted: Mutex<HashSet<UserId>>,
    typing: typing::Typists,
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presence").finish_non_exhaustive()
    }
}

impl Presence {
    pub fn new(bus: &Bus, prefix: &str, timeout: Duration) -> Self {
        Self {
            leases: Leases::new(bus.shared(), prefix, bus.origin(), timeout),
            local: Mutex::default(),
            unnoted: Mutex::default(),
            typing: typing::Typists::default(),
        }
    }

    fn local(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unnoted(&self) -> MutexGuard<'_, HashSet<UserId>> {
        self.unnoted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_local(&self, user: UserId) -> bool {
        self.local().contains_key(&user)
    }

    /// Which of these people are there. Without Redis: as far as this replica knows.
    pub async fn here(&self, people: &[UserId]) -> HashSet<UserId> {
        let (mut here, elsewhere): (HashSet<UserId>, Vec<UserId>) = {
            let local = self.local();
            let is_local = |user: &UserId| local.contains_key(user);
            (
                people.iter().copied().filter(is_local).collect(),
                people.iter().copied().filter(|user| !is_local(user)).collect(),
            )
        };
        if !elsewhere.is_empty()
            && let Ok(found) = self.leases.here(&elsewhere).await
        {
            here.extend(found);
        }
        here
    }
}

/// A socket's share in its person's presence, for as long as it is kept.
#[derive(Debug)]
pub struct Here {
    backend: Arc<Backend>,
    user: UserId,
}

impl Drop for Here {
    fn drop(&mut self) {
        leave(&self.backend, self.user);
    }
}

/// A socket opened.
pub async fn arrive(backend: &Arc<Backend>, caller: &Caller) -> Here {
    let user = caller.user;
    let is_first = {
        let mut local = backend.presence.local();
        let sockets = local.entry(user).or_insert(0);
        *sockets += 1;
        *sockets == 1
    };
    // From here on it counts, also if whoever asked is gone before Redis has answered.
    let here = Here {
        backend: backend.clone(),
        user,
    };
    if is_first {
        match backend.presence.leases.arrive(user).await {
            Ok(true) => {
                let for_later = backend.clone();
                backend.tasks.spawn("tell that somebody came", async move {
                    status::announce(&for_later, user, true).await;
                });
            }
            Ok(false) => {}
            // Noted when Redis is back.
            Err(error) => warn!(?error, "Cannot note that somebody is there"),
        }
    }
    here
}

/// A socket is gone. If it was the last one, and none comes back in a moment, its person is not there any more.
fn leave(backend: &Arc<Backend>, user: UserId) {
    let is_last = {
        // Looked at and done under one lock: the two sockets of a tab close at the same moment.
        let mut local = backend.presence.local();
        match local.get_mut(&user) {
            Some(sockets) if *sockets > 1 => {
                *sockets -= 1;
                false
            }
            sockets => sockets.is_some(),
        }
    };
    if !is_last {
        return;
    }
    typing::stop_all(backend, user);
    let for_later = backend.clone();
    backend
        .tasks
        .spawn("see whether somebody comes back", async move {
            tokio::time::sleep(GRACE).await;
            if forget_one(&for_later, user) {
                depart(&for_later, user).await;
            }
        });
}

/// One socket less. Says whether it was the last.
fn forget_one(backend: &Backend, user: UserId) -> bool {
    let mut local = backend.presence.local();
    let Some(sockets) = local.get_mut(&user) else {
        return false;
    };
    *sockets -= 1;
    if *sockets > 0 {
        return false;
    }
    local.remove(&user);
    true
}

async fn depart(backend: &Backend, user: UserId) {
    match backend.presence.leases.leave(user).await {
        Ok(true) => gone(backend, user).await,
        Ok(false) => {}
        Err(error) => {
            warn!(
                ?error,
                "Cannot note that somebody left, which is done when Redis is back"
            );
            backend.presence.unnoted().insert(user);
        }
    }
    // Back in that very moment: their arrival may have been noted before our leaving.
    if backend.presence.is_local(user)
        && let Ok(true) = backend.presence.leases.arrive(user).await
    {
        status::announce(backend, user, true).await;
    }
}

/// Somebody is nowhere any more.
async fn gone(backend: &Backend, user: UserId) {
    status::announce(backend, user, false).await;
    // On another replica they may have come back while we looked, and told so before us.
    if let Ok(here) = backend.presence.leases.here(&[user]).await
        && !here.is_empty()
    {
        status::announce(backend, user, true).await;
    }
}

/// Somebody showed a sign of life.
pub async fn beat(backend: &Backend, caller: &Caller) -> crate::error::Result<()> {
    store::note_sign_of_life(&backend.db, caller.user, backend.clock.now()).await
}
