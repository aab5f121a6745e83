//! `cargo dev down`: stop everything, keep the data.

use anyhow::Result;

use super::lock;
use super::place::Place;
use super::progress::Progress;
use super::services;
use super::test_services;

pub fn run(place: &Place, tests_too: bool) -> Result<()> {
    let progress = Progress::new();
    let _lock = lock::take(place, || {
        progress.say("waiting for another `cargo dev` in this clone to finish");
    })?;
    progress.step("stopping", || {
        let stopped = services::stop_all(place)?;
        let words = if stopped.is_empty() {
            "nothing was running".to_owned()
        } else {
            stopped.join(", ")
        };
        Ok(((), words))
    })?;
    if place.dir.join("test").exists() {
        let tests = place.tests()?;
        if tests_too {
            let stopped = test_services::stop(&tests)?;
            progress.say(if stopped {
                "the tests' services are stopped too"
            } else {
                "the tests' services were down"
            });
        } else if test_services::are_up(&tests) {
            progress.say("the tests' PostgreSQL and Redis still run; `cargo dev down --all` stops them too");
        }
    }
    Ok(())
}
