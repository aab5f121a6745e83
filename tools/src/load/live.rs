//! What somebody sees who waits for a run to end.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::AbortHandle;

use super::{
    options::{Pace, Phase},
    tally::{Counts, Going, Latency},
};

/// On a terminal a line that changes, elsewhere now and then a new one.
pub struct Live {
    is_terminal: bool,
}

/// Ends with what is watched.
pub struct Watching(AbortHandle, ProgressBar);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
        self.1.finish_and_clear();
    }
}

impl Live {
    pub fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    pub fn say(&self, words: &str) {
        eprintln!("load: {words}");
    }

    /// How many are connected, until all are.
    pub fn count(&self, upto: usize, news: impl Fn() -> Going + Send + 'static) -> Watching {
        let bar = self.bar("connecting", upto as u64);
        let shown = bar.clone();
        Watching(
            super::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                    shown.set_position(news().connected as u64);
                }
            }),
            bar,
        )
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
            .with_prefix(format!("load: {what}"))
    }

    /// Say every second how it goes, from a moment on.
    pub fn watch(&self, begin: Instant, phase: Phase, news: impl Fn() -> Going + Send + 'static) -> Watching {
        let pace = match phase.pace {
            Pace::Open(rate) => format!("{}, {rate} messages a second", phase.name),
            Pace::Closed(under_way) => format!("{}, {under_way} messages under way", phase.name),
            Pace::Silent => phase.name.to_owned(),
        };
        let bar = self.bar(&pace, phase.duration.as_secs());
        let shown = bar.clone();
        let telling = super::spawn(async move {
            tokio::time::sleep_until(begin.into()).await;
            let mut before = news().counts;
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let going = news();
                let Counts {
                    acknowledged,
                    delivered,
                    ..
                } = going.counts.since(before);
                shown.set_position(begin.elapsed().as_secs());
                shown.set_message(format!(
                    "s · {acknowledged} acknowledged/s · {delivered} delivered/s · p99 {:.1} ms · {} connected",
                    Latency::from(&going.last.deliveries).p99,
                    going.connected,
                ));
                before = going.counts;
            }
        });
        Watching(telling, bar)
    }
}
