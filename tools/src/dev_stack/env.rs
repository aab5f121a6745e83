//! `cargo dev env`: the settings of the running stack, for a gateway (or psql) started by hand:
//! `eval "$(cargo dev env)"`.

use anyhow::{Context as _, Result};

use super::balancer;
use super::cluster;
use super::gateway::Surroundings;
use super::place::Place;
use super::postgres;
use super::progress::out;
use super::redis;
use super::s3;
use super::state::State;

pub fn run(place: &Place) -> Result<()> {
    let state = State::load(place);
    let port = |service: &str| {
        state
            .ports
            .get(service)
            .copied()
            .context("the stack has never been up: run `cargo dev up` first")
    };
    let surroundings = Surroundings {
        database_url: cluster::url(place, port(postgres::SERVICE)?)?,
        redis_url: format!("redis://127.0.0.1:{}", port(redis::SERVICE)?),
        s3_port: port(s3::SERVICE)?,
        public_port: port(balancer::SERVICE)?,
        jwt_secret: state
            .jwt_secret
            .clone()
            .context("the stack has never been up: run `cargo dev up` first")?,
    };
    for (name, value) in surroundings.env() {
        out(format!("export {name}='{value}'"));
    }
    Ok(())
}
