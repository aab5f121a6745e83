//! What somebody sees who waits for a run to end.

use std::{
    io::IsTerminal as _,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::AbortHandle;

use super::{
    gathering::Gathering,
    options::{Pace, Phase},
    tally::{Latency, Second},
};

/// On a terminal a line that changes, elsewhere now and then a new one.
pub struct Live {
    name: String,
    is_terminal: bool,
}

/// Something that is counted up.
pub struct Count(ProgressBar);

impl Count {
    pub fn is_at(&self, position: usize) {
        self.0.set_position(position as u64);
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Ends with the phase.
pub struct Watching(AbortHandle, ProgressBar);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
        self.1.finish_and_clear();
    }
}

impl Live {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    pub fn say(&self, words: &str) {
        eprintln!("{}: {words}", self.name);
    }

    pub fn count(&self, what: &str, upto: usize) -> Count {
        Count(self.bar(what, upto as u64))
    }

    fn bar(&self, what: &str, length: u64) -> ProgressBar {
        if !self.is_terminal {
            self.say(what);
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{prefix} {bar:30.cyan/dim} {pos}/{len} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(length)
            .with_style(style.progress_chars("━╸─"))
            .with_prefix(format!("{}: {what}", self.name))
    }

    /// Say every second how it goes.
    pub fn watch(&self, gathering: &Arc<Gathering>, phase: Phase) -> Watching {
        let pace = match phase.pace {
            Pace::Open(rate) => format!("{}, {rate} messages a second", phase.name),
            Pace::Closed(under_way) => format!("{}, {under_way} messages under way", phase.name),
            Pace::Silent => phase.name.to_owned(),
        };
        let bar = self.bar(&pace, phase.duration.as_secs());
        let (shown, gathering) = (bar.clone(), gathering.clone());
        let telling = super::spawn(async move {
            let began = Instant::now();
            let mut before = [0; 2];
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let now = [&gathering.tally.acknowledged, &gathering.tally.delivered]
                    .map(|c| c.load(Ordering::Relaxed));
                let second = gathering.began.elapsed().as_secs() as usize;
                let mut last = Second::default();
                gathering
                    .tally
                    .seconds(second.saturating_sub(2), second)
                    .iter()
                    .for_each(|s| last.add(s));
                shown.set_position(began.elapsed().as_secs());
                shown.set_message(format!(
                    "s · {} acknowledged/s · {} delivered/s · p99 {:.1} ms · {} connected",
                    now[0] - before[0],
                    now[1] - before[1],
                    Latency::from(&last.deliveries).p99,
                    gathering.connected.load(Ordering::Relaxed),
                ));
                before = now;
            }
        });
        Watching(telling, bar)
    }
}
