//! PostgreSQL and Redis for tests. They start when the first test asks and stay, so that plain
//! `cargo test` works by itself and the second run begins at once.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::lock;
use super::place::Place;
use super::postgres::{self, Postgres, Purpose};
use super::process::{self, Farewell, Running};
use super::redis;
use super::services;
use super::state::State;

/// Where the tests' services are.
#[derive(Clone, Debug)]
pub struct TestServices {
    /// A database whose owner may create others, and extensions in them, but is no superuser. Tests
    /// create their own; nothing survives in any of them.
    pub database_url: String,
    pub redis_url: String,
}

/// Make sure that they run, and say where. Any number of test processes may ask at the same time.
pub fn test_services() -> Result<TestServices> {
    let (postgres, redis_url) = start(&place()?)?;
    Ok(TestServices {
        database_url: postgres.url,
        redis_url,
    })
}

/// Where they live: always in the workspace's own stack, because that is where plain `cargo test` looks.
pub(crate) fn place() -> Result<Place> {
    Place::find(None)?.tests()
}

/// The same, with the server itself in hand.
pub(crate) fn start(place: &Place) -> Result<(Postgres, String)> {
    let _lock = lock::take(place, || {})?;
    let mut state = State::load(place);
    if !are_up(place) {
        services::end_strays(place);
    }
    let postgres =
        postgres::ensure(place, &mut state, Purpose::Tests).context("no PostgreSQL for the tests")?;
    let redis = redis::ensure(place, &mut state).context("no Redis for the tests")?;
    Ok((postgres, redis.url))
}

/// Whether any of them runs.
pub(crate) fn are_up(place: &Place) -> bool {
    [postgres::SERVICE, redis::SERVICE]
        .iter()
        .any(|service| Running::find(place, service).is_some())
}

/// Stop them. Nothing in them is worth a slow goodbye.
pub(crate) fn stop(place: &Place) -> Result<bool> {
    const AT_ONCE: Farewell = &[
        (Signal::INT, Duration::from_secs(5)),
        (Signal::QUIT, Duration::from_secs(2)),
    ];
    let _lock = lock::take(place, || {})?;
    let postgres = process::stop(place, postgres::SERVICE, AT_ONCE)?;
    let redis = process::stop(place, redis::SERVICE, redis::FAREWELL)?;
    Ok(postgres || redis)
}
