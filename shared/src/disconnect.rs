//! Why a live connection is closed, and whether its client should come back.

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// This replica leaves: come back, to another one.
    Restarting,
    /// The login session ended: do not come back with it.
    SessionEnded,
    /// What was told was not read in time: come back and catch up.
    Slow,
    /// Something we rely on is away: come back a little later.
    Unavailable,
}

impl Disconnect {
    pub fn comes_back(self) -> bool {
        self != Self::SessionEnded
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Restarting => "restarting",
            Self::SessionEnded => "session_ended",
            Self::Slow => "slow",
            Self::Unavailable => "unavailable",
        }
    }
}
