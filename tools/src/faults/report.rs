//! What came of a run: a line for each episode, a table, and a page that can be sent around.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use super::{Options, Told, Trouble};
use crate::dev_stack::{
    progress::{Colour, out, paint},
    table::Rows,
};

/// A picture's size, and the delay that its top means.
const PICTURE: (f64, f64) = (560.0, 70.0);
const TOP: f64 = 3.0;

pub(super) struct Report<'a> {
    pub options: &'a Options,
    pub told: Vec<Told>,
}

/// A line for an episode, as soon as it is over; and everything about its troubles.
pub(super) fn say(one: &Told) {
    let verdict = &one.verdict;
    let sign = if verdict.troubles.is_empty() {
        paint(Colour::Green, "ok ")
    } else {
        paint(Colour::Red, "NO ")
    };
    out(format!(
        "{sign} {:>3}  {}: {} sent, {} again, {} told, {} reconnected, slowest {}",
        one.episode.number,
        one.episode,
        verdict.sent,
        verdict.retried,
        verdict.told,
        verdict.reconnected,
        seconds(verdict.slowest),
    ));
    if !verdict.about_the_slowest.is_empty() {
        out("     the slowest:");
        for line in &verdict.about_the_slowest {
            out(format!("       {line}"));
        }
    }
    for Trouble { kind, what, story } in &verdict.troubles {
        out(format!(
            "     {} {what}",
            paint(Colour::Bold, &format!("{kind}:"))
        ));
        for line in story {
            out(format!("       {line}"));
        }
    }
}

impl Report<'_> {
    pub(super) fn print(&self) {
        let mut rows = Rows::under(&[
            "episode",
            "what was broken",
            "sent",
            "again",
            "told",
            "slowest",
            "answers after",
            "result",
        ]);
        for one in &self.told {
            let verdict = &one.verdict;
            let result = result(one);
            let colour = if verdict.troubles.is_empty() {
                Colour::Green
            } else {
                Colour::Red
            };
            let answered = verdict.answered_again.map_or("-".to_owned(), seconds);
            let cells = [
                one.episode.number.to_string(),
                one.episode.to_string(),
                verdict.sent.to_string(),
                verdict.retried.to_string(),
                verdict.told.to_string(),
                seconds(verdict.slowest),
                answered,
                result.clone(),
            ];
            rows.add_coloured(&cells.each_ref().map(String::as_str), &result, colour);
        }
        out(format!("\n{}", rows.finish()));
    }

    /// How to play the failed episodes again.
    pub(super) fn failed(&self) -> Vec<String> {
        let failed = self.told.iter().filter(|one| !one.verdict.troubles.is_empty());
        failed.map(|one| self.again(one)).collect()
    }

    fn again(&self, one: &Told) -> String {
        format!(
            "    cargo dev faults --seed {} --episode {} --replicas {} --people {}",
            self.options.seed, one.episode.number, self.options.replicas, self.options.people
        )
    }

    /// Everything on one page that needs nothing else.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let failed = self.failed().len();
        let told: String = self.told.iter().map(|one| self.section(one)).collect();
        let page = include_str!("report.html")
            .replace("{{seed}}", &self.options.seed.to_string())
            .replace("{{replicas}}", &self.options.replicas.to_string())
            .replace("{{people}}", &self.options.people.to_string())
            .replace("{{episodes}}", &self.told.len().to_string())
            .replace("{{failed}}", &failed.to_string())
            .replace("{{told}}", &told);
        fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))
    }

    fn section(&self, one: &Told) -> String {
        let verdict = &one.verdict;
        let mut troubles = String::new();
        for Trouble { kind, what, story } in &verdict.troubles {
            let story = escaped(&story.join("\n"));
            troubles += &format!("<h3>{}: {}</h3><pre>{story}</pre>", escaped(kind), escaped(what));
        }
        if !troubles.is_empty() {
            troubles += &format!("<pre>{}</pre>", escaped(self.again(one).trim()));
        }
        format!(
            "<section class=\"{}\"><h2>{} &middot; {} <small>{}</small></h2>{}\
             <p>{} sent, {} of the attempts again, {} told, {} reconnected; slowest {}; answered {} after the last fault</p>{troubles}</section>\n",
            if verdict.troubles.is_empty() {
                "good"
            } else {
                "bad"
            },
            one.episode.number,
            escaped(&one.episode.to_string()),
            escaped(&result(one)),
            picture(one),
            verdict.sent,
            verdict.retried,
            verdict.told,
            verdict.reconnected,
            seconds(verdict.slowest),
            verdict.answered_again.map_or("never".to_owned(), seconds),
        )
    }
}

/// How long messages took, over the time of the episode. The faults are shaded.
fn picture(one: &Told) -> String {
    let (width, height) = PICTURE;
    let length = (one.ended - one.began).as_secs_f64().max(0.001);
    let x = |at: Duration| (at.saturating_sub(one.began).as_secs_f64() / length).min(1.0) * width;
    let mut drawn = String::new();
    for done in &one.done {
        let (from, to) = (x(done.began), x(done.ended));
        drawn += &format!(
            "<rect x=\"{from:.1}\" width=\"{:.1}\" height=\"{height}\" class=\"fault\"><title>{}</title></rect>",
            (to - from).max(2.0),
            escaped(&done.fault.to_string()),
        );
    }
    for (acknowledged, took) in &one.verdict.arrivals {
        let y = height - (took.as_secs_f64() / TOP).min(1.0) * (height - 2.0) - 1.0;
        drawn += &format!("<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"1.2\"/>", x(*acknowledged));
    }
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"how long messages took\">{drawn}</svg>"
    )
}

fn result(one: &Told) -> String {
    let mut kinds: Vec<&str> = one
        .verdict
        .troubles
        .iter()
        .map(|trouble| trouble.kind.as_str())
        .collect();
    kinds.dedup();
    if kinds.is_empty() {
        "kept".to_owned()
    } else {
        kinds.join(", ")
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
