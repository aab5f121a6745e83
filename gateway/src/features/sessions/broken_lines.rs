//! Connections that broke. A person may have several: while one is away, what is said reaches the others and counts as delivered. So for a
//! while after a break, whatever connection of theirs opens is told again what was said since. Clients drop by id what they have.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    ChatId, UserId,
    event::{Event, LineBroke},
    topic::{Seq, Topic},
};
use tracing::warn;

use super::store;
use crate::{error::Result, features::Backend};

/// For so long, a connection that opens counts as one that comes back. A client gives up after twenty seconds (contract 3.1).
const AGAIN: TimeDelta = TimeDelta::minutes(2);
/// The clocks of replicas differ by less, and so do the moment that an event names and the one in which it is told.
const MARGIN: TimeDelta = TimeDelta::seconds(2);
/// How often and how many times noting is tried again.
const PAUSE: Duration = Duration::from_secs(2);
const TRIES: u32 = 30;

/// What a broken connection may have missed.
#[derive(Debug)]
pub struct Missed {
    /// What is said from now on.
    pub from_now: bool,
    /// What was written, behind these places.
    pub behind: Vec<(ChatId, Seq)>,
}

/// A connection of this person broke. If that cannot be noted now, it is tried again for a while.
pub async fn note(backend: &Arc<Backend>, user: UserId, missed: Missed) {
    if !missed.from_now && missed.behind.is_empty() {
        return;
    }
    let now = backend.clock.now();
    let Err(error) = note_at(backend, user, &missed, now).await else {
        return;
    };
    warn!(?error, "Cannot note that a connection broke, trying again");
    let for_later = backend.clone();
    backend.tasks.spawn("note a broken connection", async move {
        for _ in 0..TRIES {
            tokio::time::sleep(PAUSE).await;
            if note_at(&for_later, user, &missed, now).await.is_ok() {
                return;
            }
        }
        warn!(%user, "Gave up noting that a connection broke");
    });
}

async fn note_at(backend: &Backend, user: UserId, missed: &Missed, broke: DateTime<Utc>) -> Result<()> {
    let since = missed.from_now.then(|| broke - MARGIN);
    let until = backend.clock.now() + AGAIN;
    match store::line_broke(&backend.db, user, since, &missed.behind, until).await? {
        Some(since) => tell(backend, [user], since),
        None => Ok(()),
    }
}

/// All connections of these people on a replica broke that many seconds ago, when it was last heard of.
pub async fn note_dead_replica(backend: &Backend, users: &[UserId], silent_for: TimeDelta) -> Result<()> {
    let now = backend.clock.now();
    let since = now - silent_for - MARGIN;
    store::lines_broke(&backend.db, users, since, now + AGAIN).await?;
    tell(backend, users.iter().copied(), since)
}

/// Connections that came back before we knew have to be told, too.
fn tell(backend: &Backend, users: impl IntoIterator<Item = UserId>, since: DateTime<Utc>) -> Result<()> {
    backend.bus.publish_passing(
        users.into_iter().map(Topic::User),
        &Event::LineBroke(LineBroke { since }),
    )
}

/// Forget the breaks that count for nobody any more.
pub async fn forget_old(backend: &Backend) -> Result<()> {
    store::forget_broken_lines(&backend.db, backend.clock.now()).await
}
