//! `cargo dev status`: what runs, where, and whether it works.

use anyhow::{Result, bail};

use super::place::Place;
use super::process::Running;
use super::progress::{Colour, out};
use super::services::{ALL, Health, age};
use super::state::State;
use super::table::Rows;
use super::test_services;

pub fn run(place: &Place) -> Result<()> {
    let state = State::load(place);
    out(table(place, &state));
    if place.dir.join("test").exists() && test_services::are_up(&place.tests()?) {
        out("The tests' own PostgreSQL and Redis are running too (`cargo dev down --all` stops them).");
    }
    let unwell = ALL
        .iter()
        .filter(|service| !matches!(service.health(place, &state), Health::Well))
        .count();
    if unwell > 0 {
        bail!(
            "{unwell} of {} services are not working: `cargo dev up` starts them, `cargo dev doctor` says why",
            ALL.len()
        );
    }
    Ok(())
}

pub(crate) fn table(place: &Place, state: &State) -> String {
    let mut rows = Rows::under(&["service", "address", "state", "log"]);
    for service in ALL {
        let running = Running::find(place, service.name);
        let (condition, colour) = match (service.health(place, state), &running) {
            (Health::Well, Some(running)) => (
                format!("up for {} (pid {})", age(running), running.pid),
                Colour::Green,
            ),
            (Health::Sick(why), Some(running)) => (format!("{why} (pid {})", running.pid), Colour::Yellow),
            _ => ("down".to_owned(), Colour::Red),
        };
        let log = place.short(&place.log(service.name));
        rows.add_coloured(
            &[service.title, &service.address(state), &condition, &log],
            &condition,
            colour,
        );
    }
    rows.finish()
}
