//! A live connection, as the hub sees it: anything that takes events without blocking.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use shared::{UserId, disconnect::Disconnect};

use super::Delivery;

/// One for each door that keeps connections.
pub trait Outlet: Send + Sync {
    /// Take an event. Never blocks: an outlet that has no room closes itself with `Disconnect::Slow`, because a connection that
    /// lacks one event is worse than one that comes back and catches up.
    fn offer(&self, delivery: &Arc<Delivery>);

    fn close(&self, why: Disconnect);
}

/// A connection of this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    #[expect(clippy::new_without_default, reason = "two defaults would not be equal")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Whose outlet this is.
#[derive(Clone)]
pub struct Listener {
    pub id: ConnectionId,
    pub user: UserId,
    pub outlet: Arc<dyn Outlet>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("id", &self.id)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
