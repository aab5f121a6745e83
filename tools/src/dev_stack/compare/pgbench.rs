//! What PostgreSQL takes by itself: `pgbench` writes rows as a run wrote them, into copies of the same tables with the same indexes,
//! fifty messages in a transaction. It neither asks who may write nor tells anybody.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::super::{place::Place, postgres::Postgres};

/// What PostgreSQL takes from one connection is less than what it takes; from more than these it is no more.
const CLIENTS: u32 = 8;
/// Messages in a transaction, each of another chat.
const BATCH: u32 = 50;

/// Messages a second.
pub(super) fn run(place: &Place, postgres: &Postgres, database: &str, duration: Duration) -> Result<f64> {
    let copies = include_str!("pgbench_tables.sql");
    let samples = postgres.run_in(database, copies)?;
    if samples.lines().last() != Some(&BATCH.to_string()) {
        bail!("the run left no {BATCH} messages to copy: {samples}");
    }
    let script = place.dir.join("pgbench.sql");
    fs::write(&script, include_str!("pgbench_batch.sql"))?;
    let output = postgres
        .client("pgbench", database)
        .args(["--no-vacuum", "--protocol=prepared"])
        .arg(format!("--file={}", script.display()))
        .arg(format!("--client={CLIENTS}"))
        .arg(format!("--time={}", duration.as_secs().max(1)))
        .output()
        .context("cannot run pgbench, which comes with PostgreSQL")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let transactions = transactions_a_second(&said).with_context(|| format!("pgbench says: {said}"))?;
    Ok(transactions * f64::from(BATCH))
}

fn transactions_a_second(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_says_is_read() {
        let said = "number of failed transactions: 0 (0.000%)\nlatency average = 5.1 ms\ntps = 1567.25 (without initial connection time)\n";
        assert_eq!(transactions_a_second(said), Some(1567.25));
        assert_eq!(transactions_a_second("nothing"), None);
    }
}
