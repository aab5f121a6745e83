//! How long sockets gather before they write.
//!
//! Most of what a delivery costs is the system call that writes it, here, and the one that reads it, there. As long as the replica keeps
//! up, everything is written at once. When it does not, what waits for a processor is written a moment later, together with what
//! comes meanwhile: later than it could have been, and earlier than it would be if everybody's frames were written one by one.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A replica whose sockets begin to write so long after an event came, on average, does not keep up.
const LATE: Duration = Duration::from_millis(3);
/// How long is gathered then.
const PAUSE: Duration = Duration::from_millis(20);
/// The average is taken over about so many.
const WEIGHT: u64 = 256;

/// The average lateness of all sockets, in nanoseconds.
#[derive(Debug, Default)]
pub struct Pace(AtomicU64);

impl Pace {
    /// A socket begins to write, so late. Says how long it may wait for more.
    pub fn gathers_for(&self, late: Duration) -> Option<Duration> {
        // What was held for other reasons, for seconds perhaps, says little.
        let late = u64::try_from(late.min(PAUSE).as_nanos()).unwrap_or(u64::MAX);
        // Of two at once one may be forgotten: it is an average.
        let average = self.0.load(Ordering::Relaxed);
        let average = average - average / WEIGHT + late / WEIGHT;
        self.0.store(average, Ordering::Relaxed);
        (Duration::from_nanos(average) > LATE).then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_late_again_and_again_gathers() {
        let pace = Pace::default();
        let gathers = |late, times| (0..times).filter_map(|_| pace.gathers_for(late)).count();
        assert_eq!(gathers(LATE / 2, 10_000), 0);
        assert_eq!(gathers(LATE * 20, 1), 0, "a single one says nothing");
        assert!(gathers(LATE * 2, 1_000) > 500);
        assert!(gathers(LATE / 10, 1_000) < 500, "and stops when it is over");
        assert_eq!(gathers(LATE / 10, 1), 0);
        assert_eq!(gathers(Duration::MAX, 20), 0, "nor do a few that were held");
    }
}
