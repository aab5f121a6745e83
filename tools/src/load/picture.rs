//! A page with pictures, which needs nothing but itself.

use std::fmt::Write as _;

use super::{
    report,
    run::{Moment, Outcome},
};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 48.0;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;color:#1c2733}\
h1,h2{font-weight:600}pre{overflow-x:auto;background:#f4f6f8;padding:1rem;border-radius:6px;font-size:12px}\
svg{width:100%;height:auto}text{font-size:11px;fill:#5b6b7b}.axis{stroke:#c5ced6}.a{stroke:#0b7285;fill:#0b7285}\
.b{stroke:#e8590c;fill:#e8590c}.c{stroke:#862e9c;fill:#862e9c}polyline{fill:none!important;stroke-width:1.5}";

/// One curve: its name, its class, and its values.
type Curve<'a> = (&'a str, &'a str, Vec<f64>);

pub fn page(outcomes: &[Outcome]) -> String {
    let mut page = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Load test</title><style>{STYLE}</style><h1>Load test</h1>"
    );
    let _ = write!(page, "<pre>{}</pre>", escaped(&report::tables(outcomes)));
    for outcome in outcomes {
        let curve = |value: fn(&Moment) -> f64| outcome.seconds.iter().map(value).collect::<Vec<_>>();
        let name = escaped(&outcome.name);
        let _ = write!(
            page,
            "<h2>{name}: until everybody has heard it, in milliseconds</h2>"
        );
        page.push_str(&curves(&[
            ("p50", "a", curve(|moment| moment.p50)),
            ("p95", "b", curve(|moment| moment.p95)),
            ("p99", "c", curve(|moment| moment.p99)),
        ]));
        let _ = write!(page, "<h2>{name}: deliveries a second</h2>");
        page.push_str(&curves(&[(
            "deliveries",
            "a",
            curve(|moment| moment.deliveries as f64),
        )]));
        let _ = write!(page, "<h2>{name}: sends acknowledged a second</h2>");
        page.push_str(&curves(&[("sends", "b", curve(|moment| moment.sends as f64))]));
        let _ = write!(page, "<h2>{name}: how many deliveries took how long</h2>");
        page.push_str(&bars(&outcome.histogram));
    }
    page
}

/// Over the seconds of the run.
fn curves(curves: &[Curve<'_>]) -> String {
    let highest = curves
        .iter()
        .flat_map(|(.., values)| values)
        .fold(1.0_f64, |a, b| a.max(*b));
    let count = curves.first().map_or(0, |(.., values)| values.len());
    let x = |number: usize| {
        MARGIN + (WIDTH - 2.0 * MARGIN) * number as f64 / count.max(2).saturating_sub(1) as f64
    };
    let y = |value: f64| HEIGHT - MARGIN / 2.0 - (HEIGHT - MARGIN) * value / highest;
    let mut picture = frame(highest, &format!("{count} s"));
    for (number, (name, class, values)) in curves.iter().enumerate() {
        let points = values
            .iter()
            .enumerate()
            .map(|(number, value)| format!("{:.1},{:.1}", x(number), y(*value)));
        let points = points.collect::<Vec<_>>().join(" ");
        let at = MARGIN + 90.0 * number as f64;
        let _ = write!(
            picture,
            "<polyline class=\"{class}\" points=\"{points}\"/><circle class=\"{class}\" cx=\"{at}\" cy=\"9\" r=\"4\"/><text x=\"{}\" y=\"13\">{name}</text>",
            at + 8.0
        );
    }
    picture + "</svg>"
}

/// A bar for each step.
fn bars(steps: &[(f64, u64)]) -> String {
    let highest = steps.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1) as f64;
    let wide = (WIDTH - 2.0 * MARGIN) / steps.len().max(1) as f64;
    let mut picture = frame(highest, "ms");
    for (number, (upto, count)) in steps.iter().enumerate() {
        let high = (HEIGHT - MARGIN) * *count as f64 / highest;
        let (x, y) = (MARGIN + wide * number as f64, HEIGHT - MARGIN / 2.0 - high);
        let _ = write!(
            picture,
            "<rect class=\"a\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{high:.1}\"><title>up to {upto:.2} ms: {count}</title></rect>",
            (wide - 1.0).max(1.0)
        );
        if number % steps.len().div_ceil(12).max(1) == 0 {
            let _ = write!(
                picture,
                "<text x=\"{x:.1}\" y=\"{}\">{upto:.1}</text>",
                HEIGHT - 8.0
            );
        }
    }
    picture + "</svg>"
}

fn frame(highest: f64, right: &str) -> String {
    let bottom = HEIGHT - MARGIN / 2.0;
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\"><path class=\"axis\" fill=\"none\" d=\"M{MARGIN} {top}V{bottom}H{end}\"/>\
         <text x=\"2\" y=\"{}\">{highest:.0}</text><text x=\"2\" y=\"{bottom}\">0</text><text x=\"{}\" y=\"{}\">{right}</text>",
        MARGIN / 2.0 + 4.0,
        WIDTH - MARGIN,
        HEIGHT - 8.0,
        top = MARGIN / 2.0,
        end = WIDTH - MARGIN,
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stay_inside_their_frames() {
        let picture = curves(&[("p99", "a", vec![0.0, 5.0, 10.0])]);
        assert!(picture.contains("48.0,196.0 450.0,110.0 852.0,24.0"), "{picture}");
        assert!(bars(&[(1.0, 0), (2.0, 7)]).contains("up to 2.00 ms: 7"));
        assert!(!curves(&[]).contains("NaN"));
    }
}
