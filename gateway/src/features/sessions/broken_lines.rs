//! Connections that broke. A person may have several: while one is away, what is said reaches the others and counts as delivered. So for a
//! while after a break, whatever connection of theirs opens is told again what was said since. Clients drop by id what they have.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    ChatId, UserId,
    event::{Event, LineBroke},
    topic::{Seq, Topic},
};
use tokio::time::timeout;
use tracing::warn;

use super::store;
use crate::{
    error::{Error, Result},
    features::Backend,
};

/// For so long, a connection that opens counts as one that comes back. A client gives up after twenty seconds (contract 3.1).
const AGAIN: TimeDelta = TimeDelta::minutes(2);
/// More than lies between the moment that an event names and the one in which it is told: a commit may take five seconds, telling what
/// nobody announced two, and the clocks of replicas differ.
const MARGIN: TimeDelta = TimeDelta::seconds(10);
/// How long a connection waits for its end to be noted, before it is closed all the same.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often and how many times noting is tried again.
const PAUSE: Duration = Duration::from_secs(2);
const TRIES: u32 = 30;

/// How a connection ended, by what it was told.
#[derive(Clone, Debug)]
pub enum Break {
    /// The client wants nothing more. What was written behind these places may not have arrived.
    Goodbye(Vec<(ChatId, Seq)>),
    /// The client will come back, and has what it was told: lately, up to these places.
    Closed(Vec<(ChatId, Seq)>),
    /// The client will come back, and nobody knows whether it has what was written behind these places.
    Unknown(Vec<(ChatId, Seq)>),
}

/// A break as it is noted.
#[derive(Debug)]
pub(super) struct Noted {
    /// If it is known; else what lies behind the places decides.
    pub since: Option<DateTime<Utc>>,
    pub behind: Vec<(ChatId, Seq)>,
    pub told: Vec<(ChatId, Seq)>,
}

/// A connection of this person ended. If that cannot be noted now, it is tried again for a while.
pub async fn note(backend: &Arc<Backend>, user: UserId, ended: Break) {
    let since = Some(backend.clock.now() - MARGIN);
    let (since, behind, told) = match ended {
        Break::Goodbye(behind) if behind.is_empty() => return,
        Break::Goodbye(behind) => (None, behind, Vec::new()),
        Break::Closed(told) => (since, Vec::new(), told),
        Break::Unknown(behind) => (since, behind, Vec::new()),
    };
    let noted = Noted { since, behind, told };
    match timeout(PATIENCE, note_one(backend, user, &noted)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => warn!(?error, "Cannot note that a connection broke, trying again"),
        Err(_) => warn!("Noting that a connection broke takes long"),
    }
    let for_later = backend.clone();
    let noted = Arc::new(noted);
    let again = again_and_again(move || {
        let (backend, noted) = (for_later.clone(), noted.clone());
        async move { note_one(&backend, user, &noted).await }
    });
    backend.tasks.spawn("note a broken connection", again);
}

async fn note_one(backend: &Backend, user: UserId, noted: &Noted) -> Result<()> {
    let _turn = backend.turns.take().await;
    let now = backend.clock.now();
    let mut tx = backend.begin().await?;
    if let Some(since) = store::line_broke(&mut tx, user, noted, now + AGAIN).await? {
        // Connections that came back before we knew have to be told, too: recorded, so that they hear of it for sure.
        let event = Event::LineBroke(LineBroke { since });
        tx.record(Topic::User(user), &event, now).await?;
    }
    tx.commit().await
}

/// All connections of these people on a replica broke when nothing was heard of it any more.
pub async fn note_dead_replica(backend: &Arc<Backend>, users: Vec<UserId>, silent_for: TimeDelta) {
    let since = backend.clock.now() - silent_for - MARGIN;
    let users = Arc::new(users);
    again_and_again(move || {
        let (backend, users) = (backend.clone(), users.clone());
        async move { note_many(&backend, &users, since).await }
    })
    .await;
}

async fn note_many(backend: &Backend, users: &[UserId], since: DateTime<Utc>) -> Result<()> {
    let now = backend.clock.now();
    let mut tx = backend.begin().await?;
    let known = store::lines_broke(&mut tx, users, since, now + AGAIN).await?;
    let topics: Vec<Topic> = known.into_iter().map(Topic::User).collect();
    let places = tx.next_places(&topics, now).await?;
    let events: Vec<_> = places
        .into_iter()
        .map(|place| (place, Event::LineBroke(LineBroke { since })))
        .collect();
    tx.record_all(&events).await?;
    tx.commit().await
}

async fn again_and_again<F: Future<Output = Result<()>>>(act: impl Fn() -> F) {
    for _ in 0..TRIES {
        let done = timeout(PATIENCE * 5, act()).await;
        match done.unwrap_or_else(|late| Err(Error::unavailable(late))) {
            Ok(()) => return,
            Err(error) => warn!(?error, "Cannot note that connections broke, trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    warn!("Gave up noting that connections broke: their people may miss something");
}

/// Forget the breaks that count for nobody any more.
pub async fn forget_old(backend: &Backend) -> Result<()> {
    store::forget_broken_lines(&backend.db, backend.clock.now()).await
}
