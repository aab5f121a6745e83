//! How a replica and what it relies on are doing, for probes and for people.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// Something is away that we can do without for a while.
    Degraded,
    Error,
}

/// The services behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checks {
    pub database: State,
    pub redis: State,
    pub storage: State,
}

impl Checks {
    /// Without the database nothing works; without the others most things do.
    pub fn overall(&self) -> State {
        match (self.database, self.redis, self.storage) {
            (State::Ok, State::Ok, State::Ok) => State::Ok,
            (State::Ok, ..) => State::Degraded,
            _ => State::Error,
        }
    }
}

/// `GET /health`, `GET /api/health`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Health {
    pub status: State,
    pub timestamp: DateTime<Utc>,
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// Seconds since this replica started.
    pub uptime: f64,
    pub services: Checks,
    pub database: Connected,
    pub redis: Connected,
    pub storage: Connected,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Connected {
    pub connected: bool,
}

impl From<State> for Connected {
    fn from(state: State) -> Self {
        Self {
            connected: state == State::Ok,
        }
    }
}

/// `GET /health/ready`: may this replica be sent work?
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Ready {
    pub status: State,
    pub ready: bool,
    pub checks: Checks,
    /// This replica is leaving and takes no new work.
    pub draining: bool,
    pub timestamp: DateTime<Utc>,
}

/// `GET /health/live`: does this process do anything at all?
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Live {
    pub status: State,
    pub alive: bool,
    pub timestamp: DateTime<Utc>,
}

/// `GET /health/detailed`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Detailed {
    pub status: State,
    pub checks: DetailedChecks,
    pub timestamp: DateTime<Utc>,
    pub version: &'static str,
    pub uptime: f64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DetailedChecks {
    pub database: Check,
    pub redis: Check,
    pub storage: Check,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Check {
    pub healthy: bool,
    #[schema(example = "reachable")]
    pub message: &'static str,
}

impl From<State> for Check {
    fn from(state: State) -> Self {
        let healthy = state == State::Ok;
        Self {
            healthy,
            message: if healthy { "reachable" } else { "not reachable" },
        }
    }
}
