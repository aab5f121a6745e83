//! What is counted while it runs, by whoever sees it first, and put together at the end.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use hdrhistogram::Histogram;
use serde::Serialize;

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
    pub delivered: AtomicU64,
}

/// In microseconds.
#[derive(Clone, Debug)]
pub struct Second {
    pub deliveries: Histogram<u32>,
    pub acks: Histogram<u32>,
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
        }
    }
}

impl Second {
    pub fn add(&mut self, other: &Self) {
        // They grow by themselves, so this cannot fail.
        let _ = self.deliveries.add(&other.deliveries);
        let _ = self.acks.add(&other.acks);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// A message that was due then took so long. `whose` spreads those who count.
    pub fn note(&self, what: What, whose: usize, due: u64, micros: u64) {
        let counter = match what {
            What::Delivery => &self.delivered,
            What::Ack => &self.acknowledged,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let second = usize::try_from(due / 1_000_000).unwrap_or_default();
        let shard = &self.shards[whose % SHARDS];
        let mut seconds = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() <= second {
            seconds.resize_with(second + 1, Second::default);
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
}
