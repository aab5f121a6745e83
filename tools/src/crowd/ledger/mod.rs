//! What every client asked for, was answered and was told, in the order in which it happened.
//!
//! Whoever runs a crowd writes it down here; in the end it is held against the truth, which is what the chats' history says
//! (`check`). Nothing here talks to anybody.

mod check;
mod evidence;
mod finding;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

pub use check::check;
pub use evidence::{Delay, delays, story, story_of};
pub use finding::{Breach, Finding};

/// A running client: a person may have several.
pub type Client = usize;
/// One connection of a client, counted over all clients.
pub type Connection = usize;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Since the ledger was opened.
    pub at: Duration,
    pub client: Client,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Asked to send a message, for the first time or again.
    Sent { key: String, chat: Uuid },
    /// The answer: it is sent, and this is its place.
    Acknowledged {
        key: String,
        chat: Uuid,
        message: Uuid,
        seq: i64,
    },
    /// The answer: not now. It will be asked again.
    PutOff { key: String, why: String },
    /// The answer: never.
    Refused { key: String, why: String },
    /// A connection is open: what happens from now on has to come over it.
    Opened { connection: Connection, to: String },
    /// Of this chat, the client expects only what lies behind this place.
    Begins { chat: Uuid, seq: i64 },
    /// A message came over a connection.
    Told {
        connection: Connection,
        chat: Uuid,
        message: Uuid,
        seq: i64,
    },
    /// A message was found by reading the history.
    Read { chat: Uuid, message: Uuid, seq: i64 },
    /// The connection is gone, or is not looked at any more.
    Closed { connection: Connection, why: String },
    /// The client's person is about to put somebody into a chat again.
    Readmits { chat: Uuid, user: Uuid },
}

/// Who runs a client, and whether it names its positions when it comes back.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    pub user: Uuid,
    pub resumes: bool,
}

/// What the history says, at the end.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// What lies up to here in each chat was judged before.
    pub since: HashMap<Uuid, i64>,
    /// Messages of each chat behind that, as the pages of its history list them, the oldest first.
    pub chats: HashMap<Uuid, Vec<Kept>>,
    /// Who was in each chat, and when.
    pub stays: HashMap<Uuid, Vec<Stay>>,
}

/// A message as the history knows it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub message: Uuid,
    pub seq: i64,
    /// Nobody, for what the system says.
    pub sender: Option<Uuid>,
    /// The key that its sender gave it.
    pub key: Option<String>,
}

/// Somebody was in a chat from one place to another.
#[derive(Clone, Copy, Debug)]
pub struct Stay {
    pub user: Uuid,
    /// They hear what lies behind this place…
    pub after: i64,
    /// …and before this one, if they left.
    pub before: Option<i64>,
}

impl Stay {
    pub fn covers(&self, seq: i64) -> bool {
        self.after < seq && self.before.is_none_or(|before| seq < before)
    }
}

/// Everything that happened. Shared by all clients.
#[derive(Debug)]
pub struct Ledger {
    opened: Instant,
    entries: Mutex<Vec<Entry>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            opened: Instant::now(),
            entries: Mutex::default(),
        }
    }
}

impl Ledger {
    /// Write down what happens now.
    pub fn note(&self, client: Client, what: What) {
        self.note_at(Instant::now(), client, what);
    }

    /// Write down what happened a moment ago.
    pub fn note_at(&self, when: Instant, client: Client, what: What) {
        let at = when.saturating_duration_since(self.opened);
        self.entries().push(Entry { at, client, what });
    }

    /// How long it has been open.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Everything up to now, in the order of time.
    pub fn history(&self) -> Vec<Entry> {
        let mut entries = self.entries().clone();
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    /// Forget what happened, except which connections are open. For whoever judges a long run piece by piece.
    pub fn turn_the_page(&self) {
        let mut entries = self.entries();
        let mut open = HashMap::new();
        for entry in entries.drain(..) {
            match &entry.what {
                What::Opened { connection, .. } => {
                    open.insert(*connection, entry);
                }
                What::Closed { connection, .. } => {
                    open.remove(connection);
                }
                _ => {}
            }
        }
        entries.extend(open.into_values());
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
