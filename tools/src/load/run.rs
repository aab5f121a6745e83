//! A run: people come, say what they have to say at the pace they were given, and everything is counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::time::sleep_until;

use super::{
    crew::Crew,
    live::Live,
    meter::{Meter, Usage},
    options::{Options, Pace, Phase, Target},
    share,
    tally::{Latency, Second},
    verdict::Verdict,
    worker::Order,
};
use crate::crowd::{Population, Size};

/// Goals of the contract: nearly everything arrives, and soon. Milliseconds.
const MEAN: f64 = 100.0;
const P95: f64 = 300.0;
const P99: f64 = 500.0;
const DELIVERED: f64 = 0.999;

/// All figures of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    pub people: usize,
    pub connections: usize,
    /// That loaded.
    pub processes: usize,
    pub group_sizes: Vec<usize>,
    pub phases: Vec<Measured>,
    pub seconds: Vec<Moment>,
    /// How many deliveries took so long: the upper bounds in milliseconds, and how many.
    pub histogram: Vec<(f64, u64)>,
    pub verdict: Verdict,
    /// Connections that were dropped, and how many came back.
    pub dropped: usize,
    pub returned: u64,
    /// Connections that ended though nobody dropped them.
    pub broken: u64,
    /// In a ramp, each step but the first may miss the goals: it ends with the one that does.
    pub ramp: bool,
    /// What the servers used before anybody came.
    pub before: BTreeMap<String, Usage>,
}

/// One phase.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub name: String,
    pub pace: String,
    /// When it began, in seconds of the run.
    pub began: usize,
    pub seconds: f64,
    pub sent: u64,
    pub acknowledged: u64,
    pub refused: u64,
    pub delivered: u64,
    pub sends_per_second: f64,
    pub deliveries_per_second: f64,
    pub delivery: Latency,
    pub ack: Latency,
    /// What each of the servers used meanwhile: processors, and memory at the end.
    pub used: BTreeMap<String, Usage>,
    /// How much of a processor measuring took.
    pub measuring: f64,
    pub meets_goals: bool,
}

/// A second of a run, for pictures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Moment {
    pub second: usize,
    /// What came in it: acknowledgements, and deliveries to those who stay.
    pub sends: u64,
    pub deliveries: u64,
    /// Deliveries of messages that were due in it. How long they took is what follows.
    pub due: u64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

impl Outcome {
    /// Whether everything arrived, once, in order, and soon. Whoever was dropped came back, and may have been told something twice.
    pub fn meets_goals(&self) -> bool {
        let verdict = &self.verdict;
        let delivered = 1.0 - verdict.lost as f64 / (verdict.expected.max(1)) as f64;
        let judged = if self.ramp { 1 } else { self.phases.len() };
        delivered >= DELIVERED
            && verdict.out_of_order == 0
            && (verdict.duplicates == 0 || self.dropped > 0)
            && self.returned >= self.dropped as u64
            && self.phases.iter().take(judged).all(|phase| phase.meets_goals)
    }

    /// The last step of a ramp that met the goals.
    pub fn held(&self) -> Option<&Measured> {
        self.phases.iter().rfind(|phase| self.ramp && phase.meets_goals)
    }
}

/// Let everybody in, measure, and say what came of it.
pub async fn run(target: &Target, options: &Options) -> Result<Outcome> {
    let live = Live::new();
    let population = populate(target, options, &live).await?;
    let meter = Meter(target.watch.clone());
    let before = meter.read();
    let shares = share::deal(&population, &target.address, options)?;
    let began = shares.first().context("nobody loads")?.began.instant();
    let connections = shares.iter().map(|share| share.sockets.len()).sum();
    let mut stage = Stage {
        crew: Crew::of(&shares).await?,
        began,
        meter,
        live,
    };
    drop(shares);
    {
        let _watching = stage.live.count(connections, stage.crew.news());
        stage.crew.ready().await?;
    }
    let mut phases = Vec::new();
    let mut storm = options.storm > 0;
    for mut phase in options.phases() {
        loop {
            let storm = phase.counts && std::mem::take(&mut storm);
            let measured = stage.measure(phase, storm).await?;
            let goes_on = options.ramp && phase.counts && measured.meets_goals;
            if phase.counts {
                phases.push(measured);
            }
            match &mut phase.pace {
                Pace::Open(rate) if goes_on => *rate *= 2.0,
                _ => break,
            }
        }
    }
    stage.live.say("listening to the end");
    let ended = stage.crew.end().await?;

    // How long they took to connect and to warm up is no part of the picture.
    let first = phases.first().map_or(0, |phase| phase.began);
    let mut all = Second::default();
    ended
        .seconds
        .iter()
        .skip(first)
        .for_each(|second| all.add(second));
    let moments = ended
        .seconds
        .iter()
        .enumerate()
        .skip(first)
        .map(|(number, second)| {
            let latency = Latency::from(&second.deliveries);
            Moment {
                second: number,
                sends: second.acknowledged,
                deliveries: second.delivered,
                due: second.deliveries.len(),
                p50: latency.p50,
                p95: latency.p95,
                p99: latency.p99,
            }
        });
    let steps = all.deliveries.iter_log(50, 1.3);
    Ok(Outcome {
        people: population.people.len(),
        connections,
        processes: options.processes,
        group_sizes: options.group_size.clone(),
        phases,
        seconds: moments.collect(),
        histogram: steps
            .map(|step| {
                (
                    step.value_iterated_to() as f64 / 1_000.0,
                    step.count_since_last_iteration(),
                )
            })
            .collect(),
        verdict: ended.verdict,
        dropped: options.storm.min(connections),
        returned: ended.returned,
        broken: ended.broken,
        ramp: options.ramp,
        before,
    })
}

/// Everybody is in one group, of one of the sizes.
async fn populate(target: &Target, options: &Options, live: &Live) -> Result<Population> {
    let mut all = Population::default();
    let share = options.users / options.group_size.len();
    for group_size in &options.group_size {
        let size = Size {
            people: share,
            contacts: 0,
            groups: (share / group_size).max(1),
            group_size: *group_size,
        };
        let mut some = match (&target.database_url, &target.jwt_secret) {
            (Some(database_url), Some(secret)) if !options.register => {
                live.say(&format!("writing {share} people into the database"));
                Population::by_database(database_url, secret, size)?
            }
            _ => {
                live.say(&format!("registering {share} people"));
                let server = target.address.first().context("no server")?;
                Population::by_rest(&format!("http://{server}"), size).await?
            }
        };
        for group in &mut some.groups {
            group
                .members
                .iter_mut()
                .for_each(|member| *member += all.people.len());
        }
        all.people.append(&mut some.people);
        all.groups.append(&mut some.groups);
    }
    Ok(all)
}

struct Stage {
    crew: Crew,
    began: Instant,
    meter: Meter,
    live: Live,
}

impl Stage {
    async fn measure(&mut self, phase: Phase, storm: bool) -> Result<Measured> {
        // A whole second that all processes hear of in time.
        let at = self.began.elapsed().as_secs() + 2;
        let order = Order::Play {
            at,
            pace: phase.pace,
            duration: phase.duration,
            storm,
        };
        self.crew.play(&order).await?;
        let begin = self.began + Duration::from_secs(at);
        let watching = self.live.watch(begin, phase, self.crew.news());
        sleep_until(begin.into()).await;
        let used_before = self.meter.read();
        sleep_until((begin + phase.duration).into()).await;
        let used_after = self.meter.read();
        let played = self.crew.played().await?;
        drop(watching);

        let mut all = Second::default();
        played.seconds.iter().for_each(|second| all.add(second));
        let used = used_after.into_iter().map(|(name, after)| {
            let before = used_before.get(&name).copied().unwrap_or_default();
            let cpu = after.cpu - before.cpu;
            (name, Usage { cpu, ..after })
        });
        let (counts, seconds) = (played.counts, phase.duration.as_secs_f64());
        let delivery = Latency::from(&all.deliveries);
        let is_soon = delivery.mean < MEAN && delivery.p95 < P95 && delivery.p99 < P99;
        // Those that are still under way had their time.
        let all_came = (counts.refused + played.unanswered) as f64 <= (1.0 - DELIVERED) * counts.sent as f64;
        Ok(Measured {
            name: phase.name.to_owned(),
            pace: match phase.pace {
                Pace::Open(rate) => format!("{rate}/s"),
                Pace::Closed(under_way) => format!("{under_way} under way"),
                Pace::Silent => "silent".to_owned(),
            },
            began: usize::try_from(at)?,
            seconds,
            sent: counts.sent,
            acknowledged: counts.acknowledged,
            refused: counts.refused,
            delivered: counts.delivered,
            sends_per_second: counts.acknowledged as f64 / seconds,
            deliveries_per_second: counts.delivered as f64 / seconds,
            delivery,
            ack: Latency::from(&all.acks),
            used: used.collect(),
            measuring: played.measuring / seconds,
            // How long one waits in a queue that is always full says nothing.
            meets_goals: matches!(phase.pace, Pace::Closed(_)) || is_soon && all_came,
        })
    }
}
