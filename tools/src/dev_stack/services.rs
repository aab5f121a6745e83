//! The services of a stack as a list: what is true of all of them, for the verbs that treat them alike.

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::balancer;
use super::gateway;
use super::http_probe;
use super::place::Place;
use super::postgres;
use super::process::{self, Farewell, Running};
use super::redis;
use super::s3;
use super::state::State;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    farewell: Farewell,
    /// Services of a lower number are stopped after those of a higher one.
    floor: u8,
}

/// In the order in which they start.
pub(crate) const ALL: [Service; 6] = [
    Service {
        name: postgres::SERVICE,
        title: "PostgreSQL",
        farewell: postgres::FAREWELL,
        floor: 0,
    },
    Service {
        name: redis::SERVICE,
        title: "Redis",
        farewell: redis::FAREWELL,
        floor: 0,
    },
    Service {
        name: s3::SERVICE,
        title: "S3",
        farewell: s3::FAREWELL,
        floor: 0,
    },
    Service {
        name: gateway::REPLICAS[0],
        title: "gateway 1",
        farewell: gateway::FAREWELL,
        floor: 1,
    },
    Service {
        name: gateway::REPLICAS[1],
        title: "gateway 2",
        farewell: gateway::FAREWELL,
        floor: 1,
    },
    Service {
        name: balancer::SERVICE,
        title: "balancer",
        farewell: balancer::FAREWELL,
        floor: 2,
    },
];

/// How a service is doing.
#[derive(Debug)]
pub(crate) enum Health {
    Well,
    /// It runs, but does not do its work.
    Sick(&'static str),
    Down,
}

impl Service {
    pub(crate) fn port(&self, state: &State) -> Option<u16> {
        state.ports.get(self.name).copied()
    }

    pub(crate) fn health(&self, place: &Place, state: &State) -> Health {
        let (Some(_), Some(port)) = (Running::find(place, self.name), self.port(state)) else {
            return Health::Down;
        };
        let (well, otherwise) = match self.name {
            postgres::SERVICE => (postgres::is_well(port), "accepts no connections"),
            redis::SERVICE => (redis::is_ready(port), "does not answer PING"),
            s3::SERVICE => (s3::is_ready(port), "does not answer"),
            balancer::SERVICE => (balancer::is_answering(port), "finds no replica that answers"),
            replica => {
                let ops_port = state
                    .ports
                    .get(&gateway::ops(replica))
                    .copied()
                    .unwrap_or_default();
                (http_probe::is_ready(ops_port), "is not ready")
            }
        };
        if well {
            Health::Well
        } else {
            Health::Sick(otherwise)
        }
    }

    /// Where to find it, for people.
    pub(crate) fn address(&self, state: &State) -> String {
        let Some(port) = self.port(state) else {
            return "-".to_owned();
        };
        match self.name {
            postgres::SERVICE => format!("postgres://127.0.0.1:{port}/messenger"),
            redis::SERVICE => format!("redis://127.0.0.1:{port}"),
            balancer::SERVICE => format!("http://localhost:{port}"),
            name => match state.ports.get(&gateway::ops(name)) {
                Some(ops_port) => format!("http://127.0.0.1:{port} (ops: {ops_port})"),
                None => format!("http://127.0.0.1:{port}"),
            },
        }
    }
}

/// Stop everything, from the balancer down, neighbours at the same time. Returns what was running.
pub(crate) fn stop_all(place: &Place) -> Result<Vec<&'static str>> {
    let mut stopped = Vec::new();
    for floor in [2, 1, 0] {
        let results: Vec<(&Service, Result<bool>)> = thread::scope(|scope| {
            let on_floor = ALL.iter().filter(|service| service.floor == floor);
            let threads: Vec<_> = on_floor
                .map(|service| {
                    (
                        service,
                        scope.spawn(|| process::stop(place, service.name, service.farewell)),
                    )
                })
                .collect();
            threads
                .into_iter()
                .map(|(service, thread)| {
                    let result = thread
                        .join()
                        .unwrap_or_else(|_| Err(anyhow::anyhow!("stopping panicked")));
                    (service, result)
                })
                .collect()
        });
        for (service, result) in results {
            if result? {
                stopped.push(service.title);
            }
        }
    }
    let lost = end_strays(place);
    if lost > 0 {
        stopped.push("processes that were lost track of");
    }
    Ok(stopped)
}

/// End what carries our mark but is in no book. Returns how many there were.
pub(crate) fn end_strays(place: &Place) -> usize {
    let strays: Vec<i32> = process::strays(place).into_iter().map(|(_, pid)| pid).collect();
    process::end(&strays);
    strays.len()
}

/// `3 min`, `2 h`: how long ago a process was started.
pub(crate) fn age(running: &Running) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    match now.saturating_sub(running.since) {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
