//! How often something may be done, by whom, and who counts.
//!
//! Each limit is checked here first (governor, no I/O), then in Redis, where all replicas count together. Whoever is over the
//! limit on one replica is over it everywhere, so a local no is final and costs nothing. When Redis is away, the local count
//! decides: nobody is locked out, and nobody is let in unlimited.

mod attempts;
mod local;
mod together;

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use shared::problem::Reason;

use self::local::Local;
pub use self::{
    attempts::{Attempt, Attempts},
    together::Together,
};
use crate::{
    clock::Clock,
    config::{self, Rate, Switch},
    error::{Error, Result},
    telemetry::metrics::{LimitLabels, Metrics},
};

/// What is limited. The default rates are the contract's (5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limited {
    ContactRequest,
    General,
    Reaction,
    Refresh,
    Register,
    Search,
    SendMessage,
    Status,
    Upload,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Limited {
    pub const ALL: [Self; 9] = [
        Self::ContactRequest,
        Self::General,
        Self::Reaction,
        Self::Refresh,
        Self::Register,
        Self::Search,
        Self::SendMessage,
        Self::Status,
        Self::Upload,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ContactRequest => "contact-request",
            Self::General => "general",
            Self::Reaction => "reaction",
            Self::Refresh => "refresh",
            Self::Register => "register",
            Self::Search => "search",
            Self::SendMessage => "send-message",
            Self::Status => "status",
            Self::Upload => "upload",
        }
    }

    pub fn default_rate(self) -> Rate {
        match self {
            // Per person.
            Self::ContactRequest => rate(50, DAY),
            Self::General => rate(100, MINUTE),
            Self::Reaction => rate(5, SECOND),
            Self::Search => rate(60, MINUTE),
            Self::SendMessage => rate(10, SECOND),
            Self::Status => rate(1, 5 * SECOND),
            Self::Upload => rate(10, MINUTE),
            // Per address, where a whole company may sit behind one.
            Self::Refresh => rate(4_000, 5 * MINUTE),
            Self::Register => rate(2_000, 5 * MINUTE),
        }
    }
}

fn rate(count: u32, per: Duration) -> Rate {
    Rate {
        count: NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN),
        per,
    }
}

/// The answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Go,
    Wait(Duration),
}

pub struct Limits {
    on: bool,
    rules: Vec<(Limited, Rate, Local)>,
    together: Arc<Together>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Limits {
    pub fn new(
        config: &config::Limits,
        together: Arc<Together>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let rate_of = |limited: Limited| {
            let overridden = config
                .rate_limit_overrides
                .iter()
                .rev()
                .find(|(name, _)| *name == limited);
            overridden.map_or_else(|| limited.default_rate(), |(_, rate)| *rate)
        };
        let rules = Limited::ALL.map(|limited| (limited, rate_of(limited), Local::new(rate_of(limited))));
        Self {
            on: config.rate_limits == Switch::On,
            rules: rules.into(),
            together,
            clock,
            metrics,
        }
    }

    /// Count one `limited` act of `whom`, unless that is one too many.
    pub async fn check(&self, limited: Limited, whom: impl fmt::Display) -> Result<()> {
        if !self.on {
            return Ok(());
        }
        let Some((_, rate, local)) = self.rules.iter().find(|(name, ..)| *name == limited) else {
            return Ok(());
        };
        let whom = whom.to_string();
        let mut verdict = local.check(&whom);
        if verdict == Verdict::Go {
            match self
                .together
                .count(limited.name(), &whom, *rate, self.clock.now())
                .await
            {
                Ok(shared) => verdict = shared,
                Err(_) => {
                    self.metrics.limit_fallbacks.inc();
                }
            }
        }
        match verdict {
            Verdict::Go => Ok(()),
            Verdict::Wait(retry_after) => {
                self.metrics
                    .limited
                    .get_or_create(&LimitLabels {
                        limit: limited.name(),
                    })
                    .inc();
                Err(Error::TooMany {
                    reason: Reason::RateExceeded,
                    retry_after,
                    limit: Some(rate.count.get()),
                })
            }
        }
    }

    /// Forget everybody who has not been seen for a while, so that the local counts do not grow for ever.
    pub fn forget_idle(&self) {
        for (_, _, local) in &self.rules {
            local.forget_idle();
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("on", &self.on)
            .finish_non_exhaustive()
    }
}
