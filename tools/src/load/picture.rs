//! A page with pictures, which needs nothing but itself.

use std::fmt::Write as _;

use super::{
    report,
    run::{Measured, Moment, Outcome},
};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 56.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = HEIGHT - 24.0;

pub(crate) const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;color:#1c2733}\
h1,h2{font-weight:600}h2{font-size:1.1rem;margin:2rem 0 .2rem}pre{overflow-x:auto;background:#f4f6f8;padding:1rem;border-radius:6px;font-size:11px}\
svg{width:100%;height:auto}text{font-size:11px;fill:#5b6b7b}.end{text-anchor:end}.axis{stroke:#c5ced6;fill:none}.grid{stroke:#e6ebef}\
.a{stroke:#0b7285;fill:#0b7285}.b{stroke:#e8590c;fill:#e8590c}.c{stroke:#862e9c;fill:#862e9c}polyline{fill:none!important;stroke-width:1.5}\
.met{color:#2b8a3e}.missed{color:#c92a2a}table{border-collapse:collapse}td,th{padding:.25rem .6rem;border-bottom:1px solid #e6ebef;text-align:left}";

/// One curve: its name, its class, and its values; nothing where there was nothing.
type Curve<'a> = (&'a str, &'a str, Vec<Option<f64>>);

pub fn page(outcome: &Outcome) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Load test</title><style>{STYLE}</style><h1>Load test</h1>"
    );
    let (class, words) = if outcome.meets_goals() {
        ("met", "Goals met.")
    } else {
        ("missed", "Goals missed.")
    };
    let _ = write!(
        page,
        "<p class=\"{class}\">{words}</p><pre>{}</pre>",
        escaped(&report::text(outcome))
    );
    let curve = |value: fn(&Moment) -> f64, is_there: fn(&Moment) -> bool| {
        let values = outcome.seconds.iter();
        values
            .map(|moment| is_there(moment).then(|| value(moment)))
            .collect()
    };
    let mut draw = |title: &str, drawn: &[Curve<'_>]| {
        let _ = write!(page, "<h2>{title}</h2>{}", curves(drawn, outcome));
    };
    let is_delivered: fn(&Moment) -> bool = |moment| moment.due > 0;
    draw(
        "Until everybody has heard it, in milliseconds, by the second in which it was due",
        &[
            ("p50", "a", curve(|moment| moment.p50, is_delivered)),
            ("p95", "b", curve(|moment| moment.p95, is_delivered)),
            ("p99", "c", curve(|moment| moment.p99, is_delivered)),
        ],
    );
    let always: fn(&Moment) -> bool = |_| true;
    draw(
        "Deliveries a second",
        &[(
            "deliveries",
            "a",
            curve(|moment| moment.deliveries as f64, always),
        )],
    );
    draw(
        "Sends acknowledged a second",
        &[("sends", "b", curve(|moment| moment.sends as f64, always))],
    );
    let _ = write!(
        page,
        "<h2>How many deliveries took how long (each line ten times as many)</h2>{}",
        bars(&outcome.histogram)
    );
    page
}

/// Over the seconds of the run.
fn curves(curves: &[Curve<'_>], outcome: &Outcome) -> String {
    let all = curves.iter().flat_map(|(.., values)| values).flatten();
    let highest = all.fold(1.0_f64, |a, b| a.max(*b));
    let count = curves.iter().map(|(.., values)| values.len()).max().unwrap_or(0);
    let x = |number: usize| {
        MARGIN + (WIDTH - 2.0 * MARGIN) * number as f64 / count.saturating_sub(1).max(1) as f64
    };
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value / highest;
    let mut picture = frame(&[
        (0.0, "0".to_owned()),
        (0.5, shown(highest / 2.0)),
        (1.0, shown(highest)),
    ]);
    let first = outcome.seconds.first().map_or(0, |moment| moment.second);
    for Measured {
        began, name, pace, ..
    } in &outcome.phases
    {
        let at = x(began.saturating_sub(first));
        let _ = write!(
            picture,
            "<path class=\"grid\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/><text x=\"{at:.1}\" y=\"{}\">{} s: {}, {}</text>",
            HEIGHT - 8.0,
            began.saturating_sub(first),
            escaped(name),
            escaped(pace),
        );
    }
    let _ = write!(
        picture,
        "<text class=\"end\" x=\"{}\" y=\"{}\">{count} s</text>",
        WIDTH - 4.0,
        HEIGHT - 8.0
    );
    for (number, (name, class, values)) in curves.iter().enumerate() {
        let points: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(number, value)| value.map(|value| format!("{:.1},{:.1}", x(number), y(value))))
            .collect();
        for stretch in points
            .split(Option::is_none)
            .filter(|stretch| !stretch.is_empty())
        {
            let points = stretch.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
            let _ = write!(picture, "<polyline class=\"{class}\" points=\"{points}\"/>");
        }
        let at = MARGIN + 90.0 * number as f64;
        let _ = write!(
            picture,
            "<circle class=\"{class}\" cx=\"{at}\" cy=\"9\" r=\"4\"/><text x=\"{}\" y=\"13\">{name}</text>",
            at + 8.0
        );
    }
    picture + "</svg>"
}

/// A bar for each step. A few slow ones among millions are what one wants to see, so heights are logarithms.
fn bars(steps: &[(f64, u64)]) -> String {
    let height = |count: u64| (count as f64 + 1.0).log10();
    let most = steps.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let decades = height(most).ceil().max(1.0);
    let lines: Vec<_> = (0..=decades as u32)
        .map(|decade| (f64::from(decade) / decades, format!("{}", 10_u64.pow(decade))))
        .collect();
    let mut picture = frame(&lines);
    let wide = (WIDTH - 2.0 * MARGIN) / steps.len().max(1) as f64;
    for (number, (upto, count)) in steps.iter().enumerate() {
        let high = (BOTTOM - TOP) * height(*count) / decades;
        let (x, y) = (MARGIN + wide * number as f64, BOTTOM - high);
        let _ = write!(
            picture,
            "<rect class=\"a\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{high:.1}\"><title>up to {upto:.2} ms: {count}</title></rect>",
            (wide - 1.0).max(1.0)
        );
        if number % steps.len().div_ceil(12).max(1) == 0 {
            let _ = write!(
                picture,
                "<text x=\"{x:.1}\" y=\"{}\">{} ms</text>",
                HEIGHT - 8.0,
                shown(*upto)
            );
        }
    }
    picture + "</svg>"
}

/// Axes, and lines across at these heights, from 0 to 1.
fn frame(lines: &[(f64, String)]) -> String {
    let end = WIDTH - MARGIN;
    let mut picture = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><path class=\"axis\" d=\"M{MARGIN} {TOP}V{BOTTOM}H{end}\"/>"
    );
    for (height, name) in lines {
        let y = BOTTOM - (BOTTOM - TOP) * height;
        let _ = write!(
            picture,
            "<path class=\"grid\" d=\"M{MARGIN} {y:.1}H{end}\"/><text class=\"end\" x=\"{}\" y=\"{:.1}\">{name}</text>",
            MARGIN - 6.0,
            y + 4.0
        );
    }
    picture
}

fn shown(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stay_inside_their_frames() {
        let outcome = Outcome::default();
        let picture = curves(
            &[(
                "p99",
                "a",
                vec![Some(0.0), Some(5.0), Some(10.0), None, Some(10.0)],
            )],
            &outcome,
        );
        assert!(
            picture.contains("points=\"56.0,196.0 253.0,110.0 450.0,24.0\""),
            "{picture}"
        );
        assert!(picture.contains("points=\"844.0,24.0\""), "{picture}");
        assert!(bars(&[(1.0, 0), (2.0, 9)]).contains("y=\"24.0\""));
        for empty in [curves(&[], &outcome), bars(&[]), page(&outcome)] {
            assert!(!empty.contains("NaN"), "{empty}");
        }
    }
}
