//! What people see while they wait: spinners and colour on a terminal, plain lines anywhere else (a file,
//! a pipe, CI), and always one line for each thing that was done.

use std::env;
use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Written to stderr, so that stdout holds results only.
#[derive(Debug)]
pub(crate) struct Progress {
    lively: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Colour {
    Green = 32,
    Red = 31,
    Yellow = 33,
    Bold = 1,
    Dim = 2,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let ci = env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
        let dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
        Self {
            lively: std::io::stderr().is_terminal() && !ci && !dumb,
        }
    }

    /// Do something that takes a while. It returns what it made and a few words about that.
    pub(crate) fn step<T>(&self, name: &str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
        let began = Instant::now();
        let spinner = self.lively.then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}");
            let bar = ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_message(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(80));
            bar
        });
        if !self.lively {
            eprintln!("... {name}");
        }
        let result = work();
        if let Some(spinner) = spinner {
            spinner.finish_and_clear();
        }
        let seconds = began.elapsed().as_secs_f32();
        match result {
            Ok((made, words)) => {
                let time = self.paint(Colour::Dim, &format!("({seconds:.1} s)"));
                eprintln!("{} {name}: {words} {time}", self.paint(Colour::Green, "ok "));
                Ok(made)
            }
            Err(error) => {
                eprintln!("{} {name}", self.paint(Colour::Red, "NO "));
                Err(error)
            }
        }
    }

    /// Something worth a line of its own.
    pub(crate) fn say(&self, text: &str) {
        eprintln!("    {text}");
    }

    /// Something that nobody should overlook.
    pub(crate) fn warn(&self, text: &str) {
        eprintln!(
            "{} {}",
            self.paint(Colour::Yellow, "!!!"),
            self.paint(Colour::Bold, text)
        );
    }

    /// A bar for `length` steps; on anything but a terminal it stays silent.
    pub(crate) fn bar(&self, length: u64, name: &str) -> ProgressBar {
        if !self.lively {
            eprintln!("... {name}");
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("    {msg} {bar:40} {pos}/{len} {elapsed:.dim}");
        let bar = ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        if self.lively {
            paint_always(colour, text)
        } else {
            text.to_owned()
        }
    }
}

/// Print a line on stdout. When nobody reads any more (`… | head`), that is no reason to make noise.
pub(crate) fn out(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Colour for stdout, when that is a terminal and nobody objects (`NO_COLOR`).
pub(crate) fn paint(colour: Colour, text: &str) -> String {
    if std::io::stdout().is_terminal() {
        paint_always(colour, text)
    } else {
        text.to_owned()
    }
}

fn paint_always(colour: Colour, text: &str) -> String {
    if env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return text.to_owned();
    }
    format!("\x1b[{}m{text}\x1b[0m", colour as u8)
}
