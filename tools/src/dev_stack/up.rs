//! `cargo dev up`: from whatever there is to a running system. Every part is looked at first and only
//! touched when something about it is not as it should be, so a second run changes nothing and an
//! interrupted one is simply run again.

use anyhow::Result;

use super::apt;
use super::balancer;
use super::gateway::{self, Surroundings};
use super::lock;
use super::place::Place;
use super::postgres::{self, Purpose};
use super::process;
use super::progress::{Progress, out};
use super::redis;
use super::s3;
use super::services;
use super::state::State;
use super::status;
use super::welcome;

#[derive(Debug, Default)]
pub struct Options {
    /// The balancer's port, when it has to be a certain one.
    pub port: Option<u16>,
    /// Build the gateway as for production.
    pub release: bool,
}

pub fn run(place: &Place, options: &Options) -> Result<()> {
    let progress = Progress::new();
    let _lock = lock::take(place, || {
        progress.say("waiting for another `cargo dev` in this clone to finish");
    })?;
    process::raise_file_limit();
    apt::ensure(&progress)?;

    let mut state = State::load(place);
    let lost = services::end_strays(place);
    if lost > 0 {
        progress.say(&format!(
            "ended {lost} process(es) of this stack that had been lost track of"
        ));
    }

    let database = progress.step("PostgreSQL", || {
        let postgres = postgres::ensure(place, &mut state, Purpose::Dev)?;
        let words = format!("version {} on 127.0.0.1:{}", postgres.major, postgres.port);
        Ok((postgres, words))
    })?;
    let redis = progress.step("Redis", || {
        let redis = redis::ensure(place, &mut state)?;
        let words = format!("127.0.0.1:{}", redis.port);
        Ok((redis, words))
    })?;
    let s3_port = progress.step("S3", || {
        let port = s3::ensure(place, &mut state)?;
        Ok((port, format!("127.0.0.1:{port}")))
    })?;

    let public_port = balancer::settle(place, &mut state, options.port, &progress)?;
    progress.say("building the gateway (minutes the first time, seconds later)");
    let program = gateway::build(place, options.release)?;
    let jwt_secret = state.jwt_secret();
    state.save(place)?;
    let surroundings = Surroundings {
        database_url: database.url,
        redis_url: redis.url,
        s3_port,
        jwt_secret,
        public_port,
    };
    progress.step("migrations", || {
        let words = gateway::migrate(place, &program, &surroundings)?;
        Ok(((), words))
    })?;
    let variables = gateway::variables(&program);
    let mut replicas = Vec::new();
    for service in gateway::REPLICAS {
        let replica = progress.step(service, || {
            let (replica, did) =
                gateway::ensure(place, &mut state, service, &program, &surroundings, &variables)?;
            let words = format!("{did}, ready on 127.0.0.1:{}", replica.port);
            Ok((replica, words))
        })?;
        replicas.push(replica);
    }
    gateway::forget_others(&program);

    progress.step("balancer", || {
        balancer::ensure(place, public_port, &replicas)?;
        Ok(((), format!("http://localhost:{public_port}")))
    })?;
    let guide = welcome::guide(place, &mut state, public_port);

    out(format!("\n{}\n", status::table(place, &state)));
    welcome::print(public_port, &guide);
    Ok(())
}
