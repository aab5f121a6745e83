//! What the servers use, as the kernel counts it.

use std::{collections::BTreeMap, fs, time::Duration};

use serde::Serialize;

/// Processor time and memory of some processes, together.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// Seconds of a processor, since they began.
    pub cpu: f64,
    /// Bytes.
    pub resident: u64,
}

/// Whom to read, by name. A process counts with its children: PostgreSQL is many.
#[derive(Clone, Debug)]
pub struct Meter(pub Vec<(String, u32)>);

impl Meter {
    pub fn read(&self) -> BTreeMap<String, Usage> {
        let parents = parents();
        let mut all = BTreeMap::<String, Usage>::new();
        for (name, pid) in &self.0 {
            let usage = all.entry(name.clone()).or_default();
            let children = parents
                .iter()
                .filter(|(_, parent)| parent == pid)
                .map(|(child, _)| *child);
            for pid in children.chain([*pid]) {
                let (cpu, resident) = of(pid).unwrap_or_default();
                usage.cpu += cpu.as_secs_f64();
                usage.resident += resident;
            }
        }
        all
    }
}

fn of(pid: u32) -> Option<(Duration, u64)> {
    let stat = stat(pid)?;
    // Its own, and those of its children that ended: PostgreSQL's connections come and go, and their time must not go with them.
    let ticks = stat
        .get(11..15)?
        .iter()
        .map(|ticks| ticks.parse::<u64>())
        .sum::<Result<u64, _>>()
        .ok()?;
    let second = rustix::param::clock_ticks_per_second().max(1);
    // What is shared between PostgreSQL's processes would count many times.
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))?
        .trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .ok()?;
    Some((Duration::from_millis(ticks * 1_000 / second), kib * 1024))
}

/// The fields behind the name, which may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Every process, and whose child it is.
fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?)))
        .collect()
}

/// This very process: if it needs a processor for itself, it measures itself.
pub fn myself() -> f64 {
    of(std::process::id()).map_or(0.0, |(cpu, _)| cpu.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_use_something() {
        let meter = Meter(vec![("us".to_owned(), std::process::id())]);
        let usage = meter.read()["us"];
        assert!(usage.resident > 1_000_000, "{usage:?}");
    }
}
