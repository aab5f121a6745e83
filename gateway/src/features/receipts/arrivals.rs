//! What has been written to sockets, gathered for a moment: one transaction notes what reached hundreds of people.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use shared::{ChatId, UserId, topic::Seq};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tracing::warn;

use super::{Reached, mark_delivered};
use crate::{error::Error, features::Backend};

/// How long is gathered at least.
const MOMENT: Duration = Duration::from_millis(50);
/// Noting takes at most one part in so many of the time: the busier the system, the more is noted at once.
const SHARE: u32 = 20;
/// Nobody waits longer than this for a tick.
const AT_MOST: Duration = Duration::from_secs(1);
/// How long to wait before trying again.
const PAUSE: Duration = Duration::from_secs(1);
/// A database that has not answered by then is not there any more.
const ANSWER: Duration = Duration::from_secs(15);
/// In one transaction.
const AT_ONCE: usize = 1_000;

/// Up to where people have what was said in their chats, as far as that is not noted yet.
#[derive(Debug, Default)]
pub struct Arrivals {
    upto: Mutex<HashMap<(ChatId, UserId), Seq>>,
    some: Notify,
    /// Whoever notes the last of it waits for what is being noted.
    noting: tokio::sync::Mutex<()>,
}

impl Arrivals {
    /// A socket of this person has been told up to here.
    pub fn note(&self, chat: ChatId, user: UserId, upto: Seq) {
        let mut all = self.upto.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry((chat, user)).or_insert(0);
        *known = upto.max(*known);
        self.some.notify_one();
    }

    fn take(&self) -> Vec<Reached> {
        let all = std::mem::take(&mut *self.upto.lock().unwrap_or_else(PoisonError::into_inner));
        let mut all: Vec<_> = all
            .into_iter()
            .map(|((chat, user), upto)| Reached { chat, user, upto })
            .collect();
        // Those of a chat together: its messages are looked at once.
        all.sort_unstable_by_key(|reached| (reached.chat, reached.user));
        all
    }
}

/// Note what was gathered, for ever.
pub async fn keep_noting(backend: Arc<Backend>) {
    let mut pause = MOMENT;
    loop {
        backend.arrivals.some.notified().await;
        tokio::time::sleep(pause).await;
        let started = Instant::now();
        flush(&backend).await;
        pause = (started.elapsed() * SHARE).clamp(MOMENT, AT_MOST);
    }
}

/// When the replica closes, note the last of it while others can still be told.
pub async fn note_the_rest(backend: Arc<Backend>) {
    backend.tasks.closing().await;
    // The last sockets are being let go.
    tokio::time::sleep(2 * MOMENT).await;
    flush(&backend).await;
}

/// Note what was gathered until now. What cannot be noted now is kept for later; what comes meanwhile waits for the next time, or this
/// would never end while people write.
pub async fn flush(backend: &Backend) {
    let _noting = backend.arrivals.noting.lock().await;
    let all = backend.arrivals.take();
    for (number, some) in all.chunks(AT_ONCE).enumerate() {
        let noted = timeout(ANSWER, mark_delivered::note(backend, some)).await;
        if let Err(error) = noted.unwrap_or_else(|late| Err(Error::unavailable(late))) {
            warn!(?error, "Cannot note what has been delivered");
            for reach in &all[number * AT_ONCE..] {
                backend.arrivals.note(reach.chat, reach.user, reach.upto);
            }
            tokio::time::sleep(PAUSE).await;
            return;
        }
    }
}
