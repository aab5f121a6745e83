//! A run: people come, say what they have to say at the pace they were given, and everything is counted.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;
use serde::Serialize;
use tokio::time::{sleep, sleep_until};

use super::{
    gathering::Gathering,
    live::Live,
    meter::{self, Meter, Usage},
    options::{Options, Pace, Phase, Target},
    tally::{Latency, Second},
    verdict::Verdict,
};
use crate::crowd::{Population, Size};

/// What was said last may take so long to arrive.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Whoever was dropped may take so long to come back.
const RETURN: Duration = Duration::from_secs(60);
/// Goals of the contract: nearly everything arrives, and soon. Milliseconds.
const MEAN: f64 = 100.0;
const P95: f64 = 300.0;
const P99: f64 = 500.0;
const DELIVERED: f64 = 0.999;

/// All figures of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub name: String,
    pub people: usize,
    pub connections: usize,
    pub group_sizes: Vec<usize>,
    pub phases: Vec<Measured>,
    pub seconds: Vec<Moment>,
    /// How many deliveries took so long: the upper bounds in milliseconds, and how many.
    pub histogram: Vec<(f64, u64)>,
    pub verdict: Verdict,
    /// Connections that were dropped and came back.
    pub returned: u64,
    /// What the servers used before anybody came.
    pub before: BTreeMap<String, Usage>,
}

/// One phase.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub name: String,
    pub pace: String,
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
    pub sends: u64,
    pub deliveries: u64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

impl Outcome {
    /// Whether everything arrived, once, in order, and soon.
    pub fn meets_goals(&self) -> bool {
        let verdict = &self.verdict;
        let delivered = 1.0 - verdict.lost as f64 / (verdict.expected.max(1)) as f64;
        delivered >= DELIVERED
            && verdict.out_of_order == 0
            && self.phases.iter().all(|phase| phase.meets_goals)
    }
}

/// Let everybody in, measure, and say what came of it.
pub async fn run(name: &str, target: &Target, options: &Options) -> Result<Outcome> {
    let live = Live::new(name);
    let population = populate(target, options, &live)?;
    let meter = Meter(target.watch.clone());
    let before = meter.read();
    let connections = population.people.len() * options.sockets_per_user;
    let gathering = {
        let bar = live.count("connecting", connections);
        Gathering::of(&population, &target.address, options, |connected| {
            bar.is_at(connected);
        })
        .await?
    };
    let mut phases = Vec::new();
    let mut storm = options.storm > 0;
    let mut measure = async |phase: Phase| -> Result<Measured> {
        let storm = phase.counts && std::mem::take(&mut storm);
        measure(&gathering, &meter, phase, storm, &live).await
    };
    for phase in options.phases() {
        let measured = measure(phase).await?;
        let mut goes_on = options.ramp && phase.counts && measured.meets_goals;
        if phase.counts {
            phases.push(measured);
        }
        let mut phase = phase;
        while goes_on {
            if let Pace::Open(rate) = &mut phase.pace {
                *rate *= 2.0;
            }
            let measured = measure(phase).await?;
            goes_on = measured.meets_goals;
            phases.push(measured);
        }
    }
    gathering.go_on(false);
    listen_to_the_end(&gathering).await;

    let end = gathering.began.elapsed().as_secs() as usize;
    let seconds = gathering.tally.seconds(0, end);
    let mut all = Second::default();
    seconds.iter().for_each(|second| all.add(second));
    let moments = seconds.iter().enumerate().map(|(number, second)| {
        let latency = Latency::from(&second.deliveries);
        Moment {
            second: number,
            sends: second.acks.len(),
            deliveries: second.deliveries.len(),
            p50: latency.p50,
            p95: latency.p95,
            p99: latency.p99,
        }
    });
    let steps = all.deliveries.iter_log(50, 1.3);
    Ok(Outcome {
        name: name.to_owned(),
        people: population.people.len(),
        connections: gathering.len(),
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
        verdict: gathering.verdict(),
        returned: gathering.returned.load(Ordering::Relaxed),
        before,
    })
}

/// Everybody is in one group, of one of the sizes.
fn populate(target: &Target, options: &Options, live: &Live) -> Result<Population> {
    let mut all = Population::default();
    let share = options.users / options.group_size.len();
    live.say(&format!("writing {} people into the database", options.users));
    for group_size in &options.group_size {
        let size = Size {
            people: share,
            contacts: 0,
            groups: (share / group_size).max(1),
            group_size: *group_size,
        };
        let mut some = Population::by_database(&target.database_url, &target.jwt_secret, size)?;
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

async fn measure(
    gathering: &Arc<Gathering>,
    meter: &Meter,
    phase: Phase,
    storm: bool,
    live: &Live,
) -> Result<Measured> {
    let tally = &gathering.tally;
    let count = || {
        let counters = [&tally.sent, &tally.acknowledged, &tally.refused, &tally.delivered];
        counters.map(|counter| counter.load(Ordering::Relaxed))
    };
    // Seconds of the tally are told apart by when their messages were due.
    let whole = Duration::from_secs(gathering.began.elapsed().as_secs() + 1);
    sleep_until((gathering.began + whole).into()).await;
    let (started, at_first) = (Instant::now(), count());
    let (used_before, measuring_before) = (meter.read(), meter::myself());
    let watching = live.watch(gathering, phase);
    if storm {
        let gathering = gathering.clone();
        super::spawn(async move {
            sleep(phase.duration / 3).await;
            gathering.drop_some();
        });
    }
    match phase.pace {
        Pace::Silent => sleep(phase.duration).await,
        Pace::Open(rate) => keep_pace(gathering, rate, phase.duration).await,
        Pace::Closed(under_way) => {
            let (unanswered, _) = gathering.outstanding();
            gathering.go_on(true);
            for _ in usize::try_from(unanswered)?..under_way {
                gathering.send(gathering.micros()).await;
            }
            sleep(phase.duration).await;
        }
    }
    let (took, at_last) = (started.elapsed(), count());
    let (used_after, measuring) = (meter.read(), meter::myself() - measuring_before);
    drop(watching);
    if matches!(phase.pace, Pace::Open(_)) {
        listen_to_the_end(gathering).await;
    }
    let seconds = tally.seconds(
        whole.as_secs() as usize,
        (whole + phase.duration).as_secs_f64().round() as usize,
    );
    let mut all = Second::default();
    seconds.iter().for_each(|second| all.add(second));
    let [sent, acknowledged, refused, delivered] =
        std::array::from_fn(|number| at_last[number] - at_first[number]);
    let used = used_after.into_iter().map(|(name, after)| {
        let before = used_before.get(&name).copied().unwrap_or_default();
        let cpu = after.cpu - before.cpu;
        (name, Usage { cpu, ..after })
    });
    let delivery = Latency::from(&all.deliveries);
    let is_soon = delivery.mean < MEAN && delivery.p95 < P95 && delivery.p99 < P99;
    // Those that are still under way had their time.
    let (unanswered, _) = gathering.outstanding();
    let all_came = (refused + unanswered) as f64 <= (1.0 - DELIVERED) * sent as f64;
    Ok(Measured {
        name: phase.name.to_owned(),
        pace: match phase.pace {
            Pace::Open(rate) => format!("{rate}/s"),
            Pace::Closed(under_way) => format!("{under_way} under way"),
            Pace::Silent => "silent".to_owned(),
        },
        seconds: took.as_secs_f64(),
        sent,
        acknowledged,
        refused,
        delivered,
        sends_per_second: acknowledged as f64 / took.as_secs_f64(),
        deliveries_per_second: delivered as f64 / took.as_secs_f64(),
        delivery,
        ack: Latency::from(&all.acks),
        used: used.collect(),
        measuring: measuring / took.as_secs_f64(),
        // How long one waits in a queue that is always full says nothing.
        meets_goals: matches!(phase.pace, Pace::Closed(_)) || is_soon && all_came,
    })
}

/// Send when each message is due, whether or not the earlier ones were answered.
async fn keep_pace(gathering: &Gathering, rate: f64, duration: Duration) {
    let first = gathering.micros();
    let messages = (rate * duration.as_secs_f64()) as u64;
    for message in 0..messages {
        let due = first + (message as f64 * 1_000_000.0 / rate) as u64;
        let now = gathering.micros();
        if due > now {
            sleep(Duration::from_micros(due - now)).await;
        }
        gathering.send(due).await;
    }
}

/// Until everybody is back, and nothing more comes.
async fn listen_to_the_end(gathering: &Gathering) {
    let mut started = Instant::now();
    while gathering.connected.load(Ordering::Relaxed) < gathering.len() && started.elapsed() < RETURN {
        sleep(Duration::from_millis(20)).await;
    }
    started = Instant::now();
    while gathering.outstanding() != (0, 0) && started.elapsed() < LAST_WORDS {
        sleep(Duration::from_millis(20)).await;
    }
}
