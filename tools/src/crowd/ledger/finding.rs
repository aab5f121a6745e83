//! What may be found, and what it is about.

use std::fmt;

use uuid::Uuid;

use super::Client;

/// A way in which a promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Breach {
    /// It was acknowledged, and the history does not know it.
    Lost,
    /// The history knows it, and a member's client has it neither from its connections nor from reading.
    NotTold,
    /// It was not told to somebody whose only client names no positions when it comes back: reading alone had it.
    NotCaughtUp,
    /// It was sent while a connection was open, and never came over it, although later ones did or the connection lasted.
    Hole,
    /// It came behind one that stands behind it.
    Disorder,
    /// One send became two messages.
    SentTwice,
    /// It came twice over one connection that was open all the while.
    ToldTwice,
    /// An answer, an event and the history disagree about its place.
    Misplaced,
    /// It came to somebody who was not in the chat.
    Leaked,
    /// It was told, and the history does not know it.
    Phantom,
    /// The answer was "never", and the history has it.
    Denied,
}

/// One breach, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub breach: Breach,
    pub chat: Uuid,
    pub message: Uuid,
    pub client: Option<Client>,
    pub detail: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::NotTold => "not told",
            Self::NotCaughtUp => "not caught up",
            Self::Hole => "hole",
            Self::Disorder => "out of order",
            Self::SentTwice => "sent twice",
            Self::ToldTwice => "told twice",
            Self::Misplaced => "misplaced",
            Self::Leaked => "leaked",
            Self::Phantom => "phantom",
            Self::Denied => "denied, but kept",
        })
    }
}
