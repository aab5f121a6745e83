//! `cargo dev test`: everything that CI runs, step by step, each a script in `.ci/` that can also be run
//! alone. All steps run even when one fails, so that one run tells everything.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::apt;
use super::cargo::forget_our_package;
use super::place::Place;
use super::progress::{Colour, Progress, out};
use super::table::Rows;
use super::test_services;

/// The steps in their order: the quick ones first.
const STEPS: [(&str, &str); 7] = [
    ("lint", "formatting and clippy"),
    ("unit", "tests beside the code, and those in the documentation"),
    (
        "manifests",
        "image, compose files, Kubernetes, balancer, alerts, and a backup restored",
    ),
    (
        "network",
        "the gateway's tests over real sockets, with real services",
    ),
    (
        "contract",
        "the query data, the official clients, and the dev stack itself",
    ),
    ("faults", "a short run of faults under traffic, always the same"),
    ("deps", "licences, sources and advisories of what we depend on"),
];

pub fn run(place: &Place, asked: &[String]) -> Result<()> {
    if let Some(unknown) = asked
        .iter()
        .find(|asked| !STEPS.iter().any(|(name, _)| name == asked))
    {
        bail!(
            "there is no step `{unknown}`; there are {}",
            STEPS.map(|(name, _)| name).join(", ")
        );
    }
    let progress = Progress::new();
    apt::ensure(&progress)?;
    let tests = test_services::place()?;
    let were_up = test_services::are_up(&tests);
    progress.step("PostgreSQL and Redis for the tests", || {
        test_services::start(&tests)?;
        Ok(((), if were_up { "were running" } else { "started" }.to_owned()))
    })?;

    let mut results = Vec::new();
    for (name, what) in STEPS {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            let began = Instant::now();
            eprintln!("\n=== {name}: {what}");
            results.push((name, run_step(place, name)?, began.elapsed()));
        }
    }
    // As they were found: somebody may be running tests of his own.
    if !were_up {
        test_services::stop(&tests)?;
    }
    out(format!("\n{}", table(&results)));
    let failed: Vec<&str> = results
        .iter()
        .filter(|(_, passed, _)| !passed)
        .map(|(name, _, _)| *name)
        .collect();
    if !failed.is_empty() {
        bail!(
            "{} failed; alone: `cargo dev test {}`",
            failed.join(" and "),
            failed.join(" ")
        );
    }
    Ok(())
}

fn run_step(place: &Place, name: &str) -> Result<bool> {
    let script = place.workspace.join(".ci").join(name);
    let mut command = Command::new("bash");
    forget_our_package(&mut command);
    let status = command
        .arg(&script)
        .current_dir(&place.workspace)
        .status()
        .with_context(|| format!("cannot run {}", script.display()))?;
    Ok(status.success())
}

fn table(results: &[(&str, bool, Duration)]) -> String {
    let mut rows = Rows::under(&["step", "time", "result"]);
    for (name, passed, time) in results {
        let (result, colour) = if *passed {
            ("passed", Colour::Green)
        } else {
            ("FAILED", Colour::Red)
        };
        rows.add_coloured(
            &[name, &format!("{:.0} s", time.as_secs_f32()), result],
            result,
            colour,
        );
    }
    rows.finish()
}
