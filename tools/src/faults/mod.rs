//! `cargo dev faults`: real faults in a real system under traffic, and a judge who remembers everything.
//!
//! A seed makes a plan (`plan`); the plan is carried out (`act`) against processes of our own (`system`) while a crowd talks (`cast`);
//! after each episode all is waited for, and what every client was told is held against the history (`truth`, `judge`,
//! `presence`). In the end there is a table and, if wanted, a page (`report`).

mod act;
mod cast;
mod judge;
mod plan;
mod presence;
mod report;
mod system;
mod truth;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;

use self::{
    act::Done,
    cast::Cast,
    judge::{Bench, Trouble, Verdict},
    plan::Episode,
    report::Report,
    system::System,
    truth::Known,
};
use crate::dev_stack::{gateway, lock, place::Place, progress::Progress};

pub(crate) const MOST_REPLICAS: usize = 4;
/// Everybody is connected by then, or the system does not work at all.
const BEGINNING: Duration = Duration::from_secs(30);
/// How long everybody goes on talking when all faults are over.
const AFTERWARDS: Duration = Duration::from_millis(2_500);

#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    /// So many episodes, or as many as fit into a time.
    pub length: Length,
    pub replicas: usize,
    pub people: usize,
    pub patience: Duration,
    pub report: Option<PathBuf>,
    /// Build the gateway as for production.
    pub release: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Length {
    Episodes(u64),
    /// Only this one.
    Episode(u64),
    For(Duration),
}

/// An episode and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    episode: Episode,
    done: Vec<Done>,
    began: Duration,
    ended: Duration,
    verdict: Verdict,
}

pub fn run(place: &Place, options: &Options) -> Result<()> {
    if !(2..=MOST_REPLICAS).contains(&options.replicas) {
        bail!("between 2 and {MOST_REPLICAS} replicas can be run");
    }
    if options.people < 8 {
        bail!("a crowd of fewer than 8 people shows little");
    }
    let progress = Progress::new();
    let place = place.faults()?;
    let _lock = lock::take(&place, || {
        progress.say("waiting for another fault run in this clone to finish");
    })?;
    progress.say("building the gateway (minutes the first time, seconds later)");
    let program = gateway::build(&place, options.release)?;
    gateway::forget_others(&program);
    let system = progress.step("a system of its own", || {
        let system = System::start(place.clone(), program, options.replicas)?;
        let words = format!("PostgreSQL, Redis and {} replicas run", options.replicas);
        Ok((Arc::new(system), words))
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the crowd")?;
    let told = runtime.block_on(async {
        tokio::select! {
            told = go_through(&system, options, &progress) => told,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let report = Report { options, told: told? };
    report.print();
    if let Some(file) = &options.report {
        report.write(file)?;
        progress.say(&format!("the report is in {}", file.display()));
    }
    let failed = report.failed();
    if !failed.is_empty() {
        progress.say(&format!("the replicas' logs are {}", logs(&system)));
        bail!(
            "{} of {} episodes broke a promise. Play one again:\n{}",
            failed.len(),
            report.told.len(),
            failed.join("\n")
        );
    }
    Ok(())
}

fn logs(system: &System) -> String {
    let logs: Vec<String> = system
        .logs()
        .iter()
        .map(|log| log.display().to_string())
        .collect();
    logs.join(" ")
}

async fn go_through(system: &Arc<System>, options: &Options, progress: &Progress) -> Result<Vec<Told>> {
    let cast = Cast::enter(system, options.people, options.seed)?;
    everybody_is_here(&cast).await?;
    let mut known = Known::at_the_beginning(&cast);
    let stall = Arc::new(AtomicU64::new(0));
    #[expect(clippy::disallowed_methods, reason = "it ends with the run")]
    let watcher = tokio::spawn(watch_the_clock(stall.clone()));
    let bench = Bench {
        system,
        cast: &cast,
        patience: options.patience,
    };
    let began = Instant::now();
    let (first, count) = match options.length {
        Length::Episodes(count) => (1, count),
        Length::Episode(number) => (number, 1),
        Length::For(time) => (1, time.as_secs()),
    };
    let bar = progress.bar(count, &format!("seed {}", options.seed));
    let mut told = Vec::new();
    for number in first.. {
        let is_over = match options.length {
            Length::Episodes(count) => number > count,
            Length::Episode(only) => number > only,
            Length::For(time) => began.elapsed() > time,
        };
        if is_over {
            break;
        }
        let episode = Episode::of(options.seed, number);
        bar.set_message(format!("seed {}, episode {number}: {episode}", options.seed));
        let one = play(system, &bench, &mut known, episode, &stall).await;
        bar.suspend(|| report::say(&one));
        match options.length {
            Length::For(_) => bar.set_position(began.elapsed().as_secs().min(count)),
            _ => bar.inc(1),
        }
        told.push(one);
    }
    bar.finish_and_clear();
    watcher.abort();
    Ok(told)
}

/// One episode, from talk to judgement.
async fn play(
    system: &Arc<System>,
    bench: &Bench<'_>,
    known: &mut Known,
    episode: Episode,
    stall: &AtomicU64,
) -> Told {
    let town = &bench.cast.town;
    let began = town.ledger.age();
    stall.store(0, Ordering::Relaxed);
    town.tempo(1.0);
    let (done, failed) = act::carry_out(system, bench.cast, &episode).await;
    sleep(AFTERWARDS).await;
    town.tempo(0.0);
    let ended = town.ledger.age();
    let stall = Duration::from_millis(stall.load(Ordering::Relaxed));
    let mut verdict = bench.judge(known, &episode, &done, began, stall).await;
    let failed = failed.into_iter();
    verdict
        .troubles
        .extend(failed.map(|error| Trouble::new("not done", format!("{error:#}"))));
    Told {
        episode,
        done,
        began,
        ended,
        verdict,
    }
}

async fn everybody_is_here(cast: &Cast) -> Result<()> {
    let began = Instant::now();
    while cast.devices.iter().any(|device| device.state().door.is_none()) {
        if began.elapsed() > BEGINNING {
            bail!(
                "not everybody could connect in {} s, before anything was broken",
                BEGINNING.as_secs()
            );
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// How long this machine keeps a task waiting at most: that is nobody's fault.
async fn watch_the_clock(worst: Arc<AtomicU64>) {
    const TICK: Duration = Duration::from_millis(20);
    loop {
        let before = Instant::now();
        sleep(TICK).await;
        let late = before.elapsed().saturating_sub(TICK);
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        worst.fetch_max(late, Ordering::Relaxed);
    }
}
