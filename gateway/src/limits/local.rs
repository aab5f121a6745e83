//! What this replica counts by itself.

use governor::{
    Quota, RateLimiter,
    clock::{Clock, QuantaClock},
    state::keyed::DashMapStateStore,
};

use super::Verdict;
use crate::config::Rate;

pub(super) struct Local {
    limiter: RateLimiter<String, DashMapStateStore<String>, QuantaClock>,
    clock: QuantaClock,
}

impl Local {
    pub(super) fn new(rate: Rate) -> Self {
        let clock = QuantaClock::default();
        let one = rate.per / rate.count.get();
        let quota = Quota::with_period(one)
            .unwrap_or_else(|| Quota::per_second(rate.count))
            .allow_burst(rate.count);
        Self {
            limiter: RateLimiter::new(quota, DashMapStateStore::default(), clock.clone()),
            clock,
        }
    }

    pub(super) fn check(&self, whom: &String) -> Verdict {
        match self.limiter.check_key(whom) {
            Ok(()) => Verdict::Go,
            Err(not_until) => Verdict::Wait(not_until.wait_time_from(self.clock.now())),
        }
    }

    pub(super) fn forget_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use super::*;

    #[test]
    fn counts_each_person_apart() {
        let local = Local::new(Rate {
            count: NonZeroU32::new(3).unwrap(),
            per: Duration::from_secs(600),
        });
        let (ada, bob) = ("ada".to_owned(), "bob".to_owned());
        assert!((0..3).all(|_| local.check(&ada) == Verdict::Go));
        assert!(matches!(local.check(&ada), Verdict::Wait(wait) if wait > Duration::from_secs(100)));
        assert_eq!(local.check(&bob), Verdict::Go);
    }
}
