//! What is measured, and what each figure should be.

use std::time::Duration;

use serde_json::Value;

/// A load that both are given, one after the other.
#[derive(Debug, PartialEq)]
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) options: &'static [&'static str],
    /// The same with fewer people, for `--quick`.
    pub(super) quick: Option<&'static [&'static str]>,
    pub(super) servers: Servers,
    /// It cannot be shorter.
    pub(super) at_least: Duration,
    /// Behind ours, `pgbench` writes the same rows into the same database.
    pub(super) pgbench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Servers {
    /// One of ours, two of theirs: theirs cannot use two processors otherwise.
    Usual,
    /// Two of each, and everybody is on the first. The other has nothing to do.
    Bystander,
}

const USUAL: Load = Load {
    name: "",
    options: &[],
    quick: None,
    servers: Servers::Usual,
    at_least: Duration::ZERO,
    pgbench: false,
};

const SENDS: Load = Load {
    name: "saturated, groups of 10",
    options: &["--users=500", "--group-size=10", "--saturate=256"],
    pgbench: true,
    ..USUAL
};
const DELIVERIES: Load = Load {
    name: "saturated, groups of 50",
    options: &["--users=500", "--group-size=50", "--saturate=128"],
    ..USUAL
};
const BUSY: Load = Load {
    name: "500 messages/s, groups of 10",
    options: &["--users=500", "--group-size=10", "--rate=500"],
    ..USUAL
};
const CALM: Load = Load {
    name: "50 messages/s, 1,000 people",
    options: &["--users=1000", "--group-size=10", "--rate=50"],
    ..USUAL
};
const IDLE: Load = Load {
    name: "8,000 idle connections",
    options: &["--users=8000", "--group-size=10", "--idle"],
    quick: Some(&["--users=2000", "--group-size=10", "--idle"]),
    ..USUAL
};
const ELSEWHERE: Load = Load {
    name: "1,000 messages/s on the other replica",
    options: &["--users=500", "--group-size=10", "--rate=1000"],
    servers: Servers::Bystander,
    ..USUAL
};
const CROWD: Load = Load {
    name: "one group of 300, 20 messages/s",
    options: &["--users=300", "--group-size=300", "--rate=20"],
    ..USUAL
};
const STORM: Load = Load {
    name: "5,000 of 6,000 connections drop and come back",
    options: &["--users=6000", "--group-size=10", "--rate=50", "--storm=5000"],
    quick: Some(&["--users=1500", "--group-size=10", "--rate=50", "--storm=1200"]),
    // They drop after a third, and have ten seconds to come back.
    at_least: Duration::from_secs(20),
    ..USUAL
};

/// What both did under one load.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) ours: Outcome,
    pub(super) theirs: Outcome,
    /// Rows a second.
    pub(super) pgbench: Option<f64>,
}

/// What the load test wrote down.
#[derive(Debug)]
pub(super) struct Outcome(pub(super) Value);

impl Outcome {
    fn phase(&self) -> &Value {
        &self.0["phases"][0]
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.phase()[name].as_f64()
    }

    fn p99(&self) -> Option<f64> {
        self.phase()["delivery"]["p99"].as_f64()
    }

    /// Microseconds of a processor.
    fn per_delivery(&self) -> Option<f64> {
        let cpu = self.phase()["used"]["server"]["cpu"].as_f64()?;
        Some(cpu * 1_000_000.0 / self.figure("delivered")?)
    }

    fn kib_each(&self) -> Option<f64> {
        let memory = |used: &Value| used["server"]["resident"].as_f64();
        let grown = memory(&self.phase()["used"])? - memory(&self.0["before"])?;
        Some(grown / 1024.0 / self.0["connections"].as_f64()?)
    }

    /// Percent of a processor.
    fn bystander(&self) -> Option<f64> {
        let cpu = self.phase()["used"]["bystander"]["cpu"].as_f64()?;
        Some(100.0 * cpu / self.figure("seconds")?)
    }

    pub(super) fn lost(&self) -> Option<f64> {
        self.0["verdict"]["lost"].as_f64()
    }

    /// Told twice or in different orders.
    pub(super) fn astray(&self) -> Option<f64> {
        let verdict = &self.0["verdict"];
        Some(verdict["duplicates"].as_f64()? + verdict["out_of_order"].as_f64()?)
    }

    /// Who did not come back.
    fn absent(&self) -> Option<f64> {
        Some(self.0["dropped"].as_f64()? - self.0["returned"].as_f64()?)
    }
}

/// One figure.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) load: &'static Load,
    /// Ours, and what it is measured against.
    pub(super) figures: fn(&Round) -> Option<(f64, f64)>,
    pub(super) more_is_better: bool,
    pub(super) goal: Goal,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// So many times as good as the peer.
    Times(f64),
    /// Whatever the peer does.
    AtMost(f64),
}

pub(super) const ROWS: [Row; 15] = [
    Row {
        name: "sends acknowledged a second, groups of 10",
        load: &SENDS,
        figures: |round| {
            let of = |outcome: &Outcome| outcome.figure("sends_per_second");
            Some((of(&round.ours)?, of(&round.theirs)?))
        },
        more_is_better: true,
        goal: Goal::Times(3.0),
    },
    Row {
        name: "sends acknowledged a second, against pgbench writing the same rows, 50 at a time",
        load: &SENDS,
        figures: |round| Some((round.ours.figure("sends_per_second")?, round.pgbench?)),
        more_is_better: true,
        goal: Goal::Times(0.4),
    },
    Row {
        name: "deliveries a second, groups of 50",
        load: &DELIVERIES,
        figures: |round| {
            let of = |outcome: &Outcome| outcome.figure("deliveries_per_second");
            Some((of(&round.ours)?, of(&round.theirs)?))
        },
        more_is_better: true,
        goal: Goal::Times(1.7),
    },
    Row {
        name: "µs of a processor for each delivery, the same",
        load: &DELIVERIES,
        figures: |round| Some((round.ours.per_delivery()?, round.theirs.per_delivery()?)),
        more_is_better: false,
        goal: Goal::Times(3.0),
    },
    Row {
        name: "µs of a processor for each delivery, 500 messages/s, groups of 10",
        load: &BUSY,
        figures: |round| Some((round.ours.per_delivery()?, round.theirs.per_delivery()?)),
        more_is_better: false,
        goal: Goal::Times(4.0),
    },
    Row {
        name: "p99 of delivery in ms, 50 messages/s, 1,000 people",
        load: &CALM,
        figures: |round| Some((round.ours.p99()?, round.theirs.p99()?)),
        more_is_better: false,
        goal: Goal::Times(1.0),
    },
    Row {
        name: "KiB for each idle connection",
        load: &IDLE,
        figures: |round| Some((round.ours.kib_each()?, round.theirs.kib_each()?)),
        more_is_better: false,
        goal: Goal::AtMost(12.0),
    },
    Row {
        name: "% of a processor on a replica without recipients, 1,000 messages/s elsewhere",
        load: &ELSEWHERE,
        figures: |round| Some((round.ours.bystander()?, round.theirs.bystander()?)),
        more_is_better: false,
        goal: Goal::AtMost(2.0),
    },
    Row {
        name: "p99 of delivery in ms, one group of 300, 20 messages/s",
        load: &CROWD,
        figures: |round| Some((round.ours.p99()?, round.theirs.p99()?)),
        more_is_better: false,
        goal: Goal::AtMost(25.0),
    },
    Row {
        name: "lost in it",
        load: &CROWD,
        figures: |round| Some((round.ours.lost()?, round.theirs.lost()?)),
        more_is_better: false,
        goal: Goal::AtMost(0.0),
    },
    Row {
        name: "storm: p99 of delivery in ms to those who stay",
        load: &STORM,
        figures: |round| Some((round.ours.p99()?, round.theirs.p99()?)),
        more_is_better: false,
        goal: Goal::AtMost(250.0),
    },
    Row {
        name: "storm: lost",
        load: &STORM,
        figures: |round| Some((round.ours.lost()?, round.theirs.lost()?)),
        more_is_better: false,
        goal: Goal::AtMost(0.0),
    },
    Row {
        name: "storm: did not come back",
        load: &STORM,
        figures: |round| Some((round.ours.absent()?, round.theirs.absent()?)),
        more_is_better: false,
        goal: Goal::AtMost(0.0),
    },
    Row {
        name: "500 messages/s: lost, told twice or in different orders",
        load: &BUSY,
        figures: |round| {
            let of = |outcome: &Outcome| Some(outcome.lost()? + outcome.astray()?);
            Some((of(&round.ours)?, of(&round.theirs)?))
        },
        more_is_better: false,
        goal: Goal::AtMost(0.0),
    },
    Row {
        name: "saturated: lost, told twice or in different orders",
        load: &DELIVERIES,
        figures: |round| {
            let of = |outcome: &Outcome| Some(outcome.lost()? + outcome.astray()?);
            Some((of(&round.ours)?, of(&round.theirs)?))
        },
        more_is_better: false,
        goal: Goal::AtMost(0.0),
    },
];

impl Row {
    /// Above 1 it speaks for us.
    pub(super) fn ratio(&self, (ours, theirs): (f64, f64)) -> f64 {
        let (good, bad) = if self.more_is_better {
            (ours, theirs)
        } else {
            (theirs, ours)
        };
        if good == bad { 1.0 } else { good / bad }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A name that the load test does not write would only show after minutes.
    #[test]
    fn every_figure_is_found() {
        let outcome = || {
            Outcome(json!({
                "connections": 10, "dropped": 5, "returned": 4,
                "before": {"server": {"resident": 0}},
                "verdict": {"lost": 1, "duplicates": 2, "out_of_order": 3},
                "phases": [{
                    "seconds": 2.0, "sends_per_second": 3.0, "deliveries_per_second": 4.0, "delivered": 5,
                    "delivery": {"p99": 6.0},
                    "used": {"server": {"cpu": 7.0, "resident": 8}, "bystander": {"cpu": 0.1}},
                }],
            }))
        };
        let round = Round {
            ours: outcome(),
            theirs: outcome(),
            pgbench: Some(1.0),
        };
        for row in &ROWS {
            assert!((row.figures)(&round).is_some(), "{}", row.name);
        }
    }

    #[test]
    fn a_ratio_speaks_for_us_whatever_is_better() {
        let [sends, .., lost] = &ROWS;
        assert!((sends.ratio((6.0, 2.0)) - 3.0).abs() < 1e-9);
        assert!((lost.ratio((2.0, 6.0)) - 3.0).abs() < 1e-9);
        assert!((lost.ratio((0.0, 0.0)) - 1.0).abs() < 1e-9);
        assert!(lost.ratio((0.0, 4.0)).is_infinite());
    }
}
