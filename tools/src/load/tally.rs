//! What is counted while it runs, by whoever sees it first, and put together at the end.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Many threads count at once.
const SHARDS: usize = 16;

/// All latencies of a run, by the second in which their message was due. So a server that stalls does not hide how long everybody
/// waited meanwhile.
#[derive(Debug)]
pub struct Tally {
    shards: Vec<Mutex<Vec<Second>>>,
    pub sent: AtomicU64,
    pub acknowledged: AtomicU64,
    pub refused: AtomicU64,
    /// Deliveries that there have to be of what was acknowledged.
    pub expected: AtomicU64,
    pub delivered: AtomicU64,
}

/// How much has been counted so far, or in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub sent: u64,
    pub acknowledged: u64,
    pub refused: u64,
    pub delivered: u64,
}

impl Counts {
    fn with(self, other: Self, both: fn(u64, u64) -> u64) -> Self {
        Self {
            sent: both(self.sent, other.sent),
            acknowledged: both(self.acknowledged, other.acknowledged),
            refused: both(self.refused, other.refused),
            delivered: both(self.delivered, other.delivered),
        }
    }

    pub fn add(&mut self, other: Self) {
        *self = self.with(other, |one, other| one + other);
    }

    pub fn since(self, earlier: Self) -> Self {
        self.with(earlier, |now, then| now - then)
    }
}

/// How it goes, for who watches.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Going {
    pub connected: usize,
    pub counts: Counts,
    /// The last two seconds.
    pub last: Second,
}

impl Going {
    pub fn add(&mut self, other: &Self) {
        self.connected += other.connected;
        self.counts.add(other.counts);
        self.last.add(&other.last);
    }
}

/// Microseconds that messages took which were due in it; and what came in it, whenever that was due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Steps", into = "Steps")]
pub struct Second {
    pub deliveries: Histogram<u32>,
    pub acks: Histogram<u32>,
    pub delivered: u64,
    pub acknowledged: u64,
}

/// The same from process to process: how many took as long as this step of the histogram. Nothing is rounded on the way.
#[derive(Serialize, Deserialize)]
struct Steps {
    deliveries: Vec<(u64, u32)>,
    acks: Vec<(u64, u32)>,
    delivered: u64,
    acknowledged: u64,
}

impl From<Second> for Steps {
    fn from(second: Second) -> Self {
        let steps = |histogram: &Histogram<u32>| {
            let recorded = histogram.iter_recorded();
            recorded
                .map(|step| (step.value_iterated_to(), step.count_at_value()))
                .collect()
        };
        Self {
            deliveries: steps(&second.deliveries),
            acks: steps(&second.acks),
            delivered: second.delivered,
            acknowledged: second.acknowledged,
        }
    }
}

impl From<Steps> for Second {
    fn from(steps: Steps) -> Self {
        let mut second = Self {
            delivered: steps.delivered,
            acknowledged: steps.acknowledged,
            ..Self::default()
        };
        for (histogram, steps) in [
            (&mut second.deliveries, steps.deliveries),
            (&mut second.acks, steps.acks),
        ] {
            for (value, count) in steps {
                // It grows as it has to, so this cannot fail.
                let _ = histogram.record_n(value, count);
            }
        }
        second
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Delivery,
    Ack,
}

impl Default for Second {
    fn default() -> Self {
        let histogram = || Histogram::new(2).expect("two digits are few enough");
        Self {
            deliveries: histogram(),
            acks: histogram(),
            delivered: 0,
            acknowledged: 0,
        }
    }
}

impl Second {
    pub fn add(&mut self, other: &Self) {
        // They grow by themselves, so this cannot fail.
        let _ = self.deliveries.add(&other.deliveries);
        let _ = self.acks.add(&other.acks);
        self.delivered += other.delivered;
        self.acknowledged += other.acknowledged;
    }

    /// Seconds of several processes, one by one.
    pub fn add_each(all: &mut Vec<Self>, others: &[Self]) {
        if all.len() < others.len() {
            all.resize_with(others.len(), Self::default);
        }
        all.iter_mut().zip(others).for_each(|(one, other)| one.add(other));
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }
}

impl Tally {
    pub fn counts(&self) -> Counts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            sent: count(&self.sent),
            acknowledged: count(&self.acknowledged),
            refused: count(&self.refused),
            delivered: count(&self.delivered),
        }
    }

    /// Messages without an answer, and deliveries still to come of those that have one.
    pub fn outstanding(&self) -> (u64, u64) {
        let counts = self.counts();
        let expected = self.expected.load(Ordering::Relaxed);
        (
            counts.sent.saturating_sub(counts.acknowledged + counts.refused),
            expected.saturating_sub(counts.delivered),
        )
    }

    /// A message that was due then took so long. `whose` spreads those who count.
    pub fn note(&self, what: What, whose: usize, due: u64, micros: u64) {
        let counter = match what {
            What::Delivery => &self.delivered,
            What::Ack => &self.acknowledged,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let second = |at: u64| usize::try_from(at / 1_000_000).unwrap_or_default();
        let (second, now) = (second(due), second(due + micros));
        let shard = &self.shards[whose % SHARDS];
        let mut seconds = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() <= now {
            seconds.resize_with(now + 1, Second::default);
        }
        match what {
            What::Delivery => seconds[now].delivered += 1,
            What::Ack => seconds[now].acknowledged += 1,
        }
        let histogram = match what {
            What::Delivery => &mut seconds[second].deliveries,
            What::Ack => &mut seconds[second].acks,
        };
        // It grows as it has to, so this cannot fail.
        let _ = histogram.record(micros.max(1));
    }

    /// What came of the messages that were due in these seconds, second by second.
    pub fn seconds(&self, from: usize, to: usize) -> Vec<Second> {
        let mut seconds = vec![Second::default(); to.saturating_sub(from)];
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (all, part) in seconds.iter_mut().zip(shard.iter().skip(from)) {
                all.add(part);
            }
        }
        seconds
    }
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl From<&Histogram<u32>> for Latency {
    fn from(histogram: &Histogram<u32>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            count: histogram.len(),
            mean: histogram.mean() / 1_000.0,
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1_000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_count_is_one_sum() {
        let tally = Tally::default();
        for whose in 0..100 {
            tally.note(What::Delivery, whose, 1_500_000, 2_000);
            tally.note(What::Ack, whose, 2_500_000, 1_000);
        }
        let seconds = tally.seconds(1, 4);
        let counts: Vec<_> = seconds
            .iter()
            .map(|s| (s.deliveries.len(), s.acks.len()))
            .collect();
        assert_eq!(counts, [(100, 0), (0, 100), (0, 0)]);
        let latency = Latency::from(&seconds[0].deliveries);
        assert!((1.9..2.1).contains(&latency.p99), "{latency:?}");
    }

    /// Latency belongs to the second in which somebody began to wait, throughput to the one in which something came.
    #[test]
    fn a_stall_shows_where_it_was() {
        let tally = Tally::default();
        tally.note(What::Delivery, 0, 1_500_000, 2_000_000);
        let seconds = tally.seconds(1, 4);
        let counts: Vec<_> = seconds
            .iter()
            .map(|s| (s.deliveries.len(), s.delivered))
            .collect();
        assert_eq!(counts, [(1, 0), (0, 0), (0, 1)]);
    }

    #[test]
    fn what_several_processes_counted_is_as_if_one_had() {
        let (one, other, both) = (Tally::default(), Tally::default(), Tally::default());
        for number in 0..10_000_u64 {
            let part = if number % 3 == 0 { &one } else { &other };
            for tally in [part, &both] {
                tally.note(What::Delivery, 0, number * 300, number * number % 2_000_000);
                tally.note(What::Ack, 0, number * 300, number * 7);
            }
        }
        let mut sum = Vec::new();
        for tally in [&one, &other] {
            let sent = serde_json::to_string(&tally.seconds(0, 3)).unwrap();
            Second::add_each(&mut sum, &serde_json::from_str::<Vec<_>>(&sent).unwrap());
        }
        assert_eq!(sum, both.seconds(0, 3));
        assert_eq!(
            sum.iter().map(|second| second.deliveries.len()).sum::<u64>(),
            10_000
        );
        let mut counts = one.counts();
        counts.add(other.counts());
        assert_eq!(counts, both.counts());
    }
}
