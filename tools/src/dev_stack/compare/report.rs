//! What came of it: a table, and the same as JSON and as a page with pictures.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{
    Options,
    rows::{Goal, Round, Row},
};
use crate::{
    dev_stack::{
        progress::{Colour, out},
        table::Rows,
    },
    load::picture::{STYLE, escaped},
};

/// A row with what was measured in each round: ours and theirs.
pub(super) struct Line {
    pub(super) row: &'static Row,
    rounds: Vec<(f64, f64)>,
}

impl Line {
    pub(super) fn of(row: &'static Row) -> Self {
        Self {
            row,
            rounds: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, round: &Round) -> Result<()> {
        let figures = (self.row.figures)(round);
        self.rounds
            .push(figures.with_context(|| format!("the load test does not tell us: {}", self.row.name))?);
        Ok(())
    }

    fn ours(&self) -> f64 {
        middle(self.rounds.iter().map(|(ours, _)| *ours).collect())
    }

    fn theirs(&self) -> f64 {
        middle(self.rounds.iter().map(|(_, theirs)| *theirs).collect())
    }

    /// In each round: both met the same machine in the same minutes.
    fn ratios(&self) -> Vec<f64> {
        self.rounds
            .iter()
            .map(|figures| self.row.ratio(*figures))
            .collect()
    }

    pub(super) fn is_met(&self) -> bool {
        match self.row.goal {
            Goal::Times(times) => middle(self.ratios()) >= times,
            Goal::AtMost(most) => self.ours() <= most,
        }
    }

    fn goal(&self) -> String {
        match self.row.goal {
            Goal::Times(times) => format!("≥ {times} ×"),
            Goal::AtMost(most) => format!("≤ {most}"),
        }
    }

    fn met(&self) -> &'static str {
        if self.is_met() { "met" } else { "missed" }
    }

    /// What a row of the table says.
    fn cells(&self) -> [String; 7] {
        let ratios = self.ratios();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        [
            self.row.name.to_owned(),
            shown(self.ours()),
            shown(self.theirs()),
            times(middle(ratios)),
            format!("{} – {}", times(least), times(most)),
            self.goal(),
            self.met().to_owned(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "row": self.row.name,
            "ours": self.rounds.iter().map(|(ours, _)| ours).collect::<Vec<_>>(),
            "theirs": self.rounds.iter().map(|(_, theirs)| theirs).collect::<Vec<_>>(),
            "median": {"ours": self.ours(), "theirs": self.theirs(), "ratio": middle(self.ratios())},
            "ratios": self.ratios(),
            "goal": self.goal(),
            "met": self.is_met(),
        })
    }
}

const HEADER: [&str; 7] = ["", "gateway", "peer", "ratio", "in all rounds", "goal", ""];
const NOTE: &str = "Medians of the rounds. A ratio above 1 speaks for the gateway. The peer is two processes; in the second row it is pgbench.";

pub(super) fn print(lines: &[Line]) {
    let mut table = Rows::under(&HEADER);
    for line in lines {
        let cells = line.cells();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let colour = if line.is_met() { Colour::Green } else { Colour::Red };
        table.add_coloured(&cells, line.met(), colour);
    }
    out(table.finish());
    out(NOTE);
}

pub(super) fn write(lines: &[Line], options: &Options) -> Result<()> {
    if let Some(path) = &options.json {
        let lines: Vec<_> = lines.iter().map(Line::json).collect();
        std::fs::write(path, serde_json::to_string_pretty(&lines)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &options.html {
        std::fs::write(path, page(lines)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn page(lines: &[Line]) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Gateway and peer</title><style>{STYLE}</style>\
         <h1>Gateway and peer</h1><p>{NOTE}</p><table><tr>"
    );
    for name in HEADER {
        let _ = write!(page, "<th>{name}</th>");
    }
    for line in lines {
        page.push_str("</tr><tr>");
        for cell in line.cells() {
            let _ = write!(
                page,
                "<td class=\"{}\">{}</td>",
                if cell == line.met() { line.met() } else { "" },
                escaped(&cell)
            );
        }
    }
    page.push_str("</tr></table><h2>Ratios: a point for each round, a stroke where the goal is; each line ten times as much</h2>");
    page + &picture(lines)
}

/// From a hundredth to a hundred times as good.
fn picture(lines: &[Line]) -> String {
    const WIDTH: f64 = 900.0;
    const LEFT: f64 = 440.0;
    const STEP: f64 = 22.0;
    let x = |ratio: f64| LEFT + (WIDTH - LEFT - 20.0) * (ratio.max(0.01).log10() + 2.0).clamp(0.0, 4.0) / 4.0;
    let height = STEP * (lines.len() as f64 + 1.5);
    let mut picture = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for (power, name) in (-2..=2).zip(["0.01 ×", "0.1 ×", "1 ×", "10 ×", "100 ×"]) {
        let at = x(10_f64.powi(power));
        let _ = write!(
            picture,
            "<path class=\"grid\" d=\"M{at} 16V{height}\"/><text x=\"{}\" y=\"12\">{name}</text>",
            at - 12.0
        );
    }
    for (number, line) in lines.iter().enumerate() {
        let y = STEP * (number as f64 + 1.5);
        let _ = write!(
            picture,
            "<text x=\"0\" y=\"{}\">{}</text>",
            y + 4.0,
            escaped(line.row.name)
        );
        if let Goal::Times(times) = line.row.goal {
            let _ = write!(
                picture,
                "<path class=\"b\" d=\"M{0:.1} {1}V{2}\"/>",
                x(times),
                y - 8.0,
                y + 8.0
            );
        }
        for ratio in line.ratios() {
            let _ = write!(
                picture,
                "<circle class=\"a\" cx=\"{:.1}\" cy=\"{y}\" r=\"3\"/>",
                x(ratio)
            );
        }
    }
    picture + "</svg>"
}

fn times(ratio: f64) -> String {
    if ratio.is_finite() {
        format!("{ratio:.2} ×")
    } else {
        "∞".to_owned()
    }
}

fn shown(figure: f64) -> String {
    if figure >= 1_000.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}")
    }
}

/// Of an even number, the mean of the two in the middle.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) if low == high => *low,
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rows::ROWS, *};

    fn line(row: &'static Row, rounds: &[(f64, f64)]) -> Line {
        Line {
            row,
            rounds: rounds.to_vec(),
        }
    }

    #[test]
    fn goals_are_missed_by_the_median() {
        let [sends, .., lost] = &ROWS;
        assert!(line(sends, &[(1.0, 1.0), (3.0, 1.0), (4.0, 1.0)]).is_met());
        assert!(!line(sends, &[(1.0, 1.0), (2.9, 1.0), (4.0, 1.0)]).is_met());
        assert!(line(lost, &[(0.0, 9.0)]).is_met());
        assert!(!line(lost, &[(1.0, 9.0)]).is_met());
        assert!(!line(sends, &[]).is_met());
    }

    #[test]
    fn a_page_has_every_row() {
        let lines: Vec<_> = ROWS
            .iter()
            .map(|row| line(row, &[(0.0, 4.0), (2.0, 0.0)]))
            .collect();
        let page = page(&lines);
        assert!(ROWS.iter().all(|row| page.matches(row.name).count() == 2));
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
