//! `cargo dev status`: what runs, where, and whether it works.

use anyhow::{Result, bail};
use comfy_table::{Table, presets};

use super::place::Place;
use super::process::Running;
use super::progress::{Colour, paint};
use super::services::{ALL, Health, age};
use super::state::State;
use super::test_services;

pub fn run(place: &Place) -> Result<()> {
    let state = State::load(place);
    println!("{}", table(place, &state));
    if place.dir.join("test").exists() && test_services::are_up(&place.tests()?) {
        println!("The tests' own PostgreSQL and Redis are running too (`cargo dev down --all` stops them).");
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

pub(crate) fn table(place: &Place, state: &State) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["service", "address", "state", "log"]);
    for service in ALL {
        let running = Running::find(place, service.name);
        let condition = match (service.health(place, state), &running) {
            (Health::Well, Some(running)) => paint(
                Colour::Green,
                &format!("up for {} (pid {})", age(running), running.pid),
            ),
            (Health::Sick(why), Some(running)) => {
                paint(Colour::Yellow, &format!("{why} (pid {})", running.pid))
            }
            _ => paint(Colour::Red, "down"),
        };
        let log = place.short(&place.log(service.name));
        table.add_row([service.title, &service.address(state), &condition, &log]);
    }
    table
}
