//! What came of it: a table for people, JSON for programs, and a page with pictures.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use comfy_table::{Cell, CellAlignment, Table, presets};

use super::{
    options::Options,
    picture,
    run::{Measured, Outcome},
};

/// The files that were asked for.
pub fn write(options: &Options, outcome: &Outcome) -> Result<()> {
    let put = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &options.json {
        put(path, serde_json::to_string_pretty(outcome)?)?;
    }
    if let Some(path) = &options.html {
        put(path, picture::page(outcome))?;
    }
    Ok(())
}

/// The table, and below it what everything comes to.
pub fn text(outcome: &Outcome) -> String {
    format!("\n{}\n{}\n", phases(outcome), verdict(outcome))
}

fn verdict(outcome: &Outcome) -> String {
    let verdict = outcome.verdict;
    let mut sentences = vec![
        format!(
            "{} people, {} connections, groups of {}, {}.",
            outcome.people,
            outcome.connections,
            outcome
                .group_sizes
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" and "),
            match outcome.processes {
                1 => "one load process".to_owned(),
                many => format!("{many} load processes"),
            },
        ),
        format!(
            "Of {} deliveries {} lost, {} twice, {} out of order.",
            verdict.expected, verdict.lost, verdict.duplicates, verdict.out_of_order
        ),
    ];
    if outcome.dropped > 0 {
        sentences.push(format!(
            "{} of {} dropped connections came back.",
            outcome.returned, outcome.dropped
        ));
    }
    if outcome.broken > 0 {
        sentences.push(format!("{} connections broke by themselves.", outcome.broken));
    }
    if let Some(held) = outcome.held() {
        sentences.push(format!("The goals were met up to {}.", held.pace));
    }
    sentences.push(
        if outcome.meets_goals() {
            "Goals met."
        } else {
            "GOALS MISSED."
        }
        .to_owned(),
    );
    sentences.join(" ")
}

/// A row for each phase, a column for each figure.
fn phases(outcome: &Outcome) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "",
        "pace",
        "acks/s",
        "deliveries/s",
        "mean ms",
        "p50",
        "p95",
        "p99",
        "p99.9",
        "max",
        "ack p99",
        "refused",
        "processors",
        "µs/delivery",
        "memory MiB",
    ]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for phase in &outcome.phases {
        table.add_row(row(phase).map(Cell::new));
    }
    table
}

fn row(phase: &Measured) -> [String; 15] {
    let latency = phase.delivery;
    let servers = servers(phase);
    [
        phase.name.clone(),
        phase.pace.clone(),
        format!("{:.0}", phase.sends_per_second),
        format!("{:.0}", phase.deliveries_per_second),
        format!("{:.2}", latency.mean),
        format!("{:.2}", latency.p50),
        format!("{:.2}", latency.p95),
        format!("{:.2}", latency.p99),
        format!("{:.2}", latency.p999),
        format!("{:.2}", latency.max),
        format!("{:.2}", phase.ack.p99),
        phase.refused.to_string(),
        used(phase),
        servers.map_or("-".to_owned(), |(per_delivery, _)| format!("{per_delivery:.2}")),
        servers.map_or("-".to_owned(), |(_, memory)| format!("{memory:.0}")),
    ]
}

/// Of those who deliver: microseconds of a processor for each delivery, and their memory in MiB.
fn servers(phase: &Measured) -> Option<(f64, f64)> {
    let servers = phase.used.get("server")?;
    let per_delivery = servers.cpu * 1_000_000.0 / phase.delivered.max(1) as f64;
    Some((per_delivery, servers.resident as f64 / 1_048_576.0))
}

/// `server 0.52, postgres 0.31, load 0.40`
fn used(phase: &Measured) -> String {
    let servers = phase
        .used
        .iter()
        .map(|(name, usage)| (name.as_str(), usage.cpu / phase.seconds));
    let all = servers.chain([("load", phase.measuring)]);
    all.map(|(name, cpu)| format!("{name} {cpu:.2}"))
        .collect::<Vec<_>>()
        .join(", ")
}
