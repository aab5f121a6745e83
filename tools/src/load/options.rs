use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};

/// How much, of what, for how long. What is not said is as the load test of the contract has it: a thousand people, in groups of
/// fifty, fifty messages a second for a minute, then a hundred for ten seconds.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// People.
    #[arg(long, default_value_t = 1_000, value_name = "NUMBER")]
    pub users: usize,

    /// Live connections of each.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub sockets_per_user: usize,

    /// Members of the groups: one size, or several in equal shares.
    #[arg(long, default_value = "50", value_delimiter = ',', value_name = "NUMBER,…")]
    pub group_size: Vec<usize>,

    /// Messages a second, whatever the servers make of it. [default: 50]
    #[arg(long, value_name = "NUMBER", conflicts_with = "saturate")]
    pub rate: Option<f64>,

    /// Instead of a rate: so many messages under way at all times, as fast as they are acknowledged.
    #[arg(long, value_name = "NUMBER")]
    pub saturate: Option<usize>,

    /// For how long.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub duration: Duration,

    /// Messages a second in the spike behind it; 0 is none. [default: 100 with the default rate, otherwise 0]
    #[arg(long, value_name = "NUMBER")]
    pub spike: Option<f64>,

    /// How long the spike lasts.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub spike_duration: Duration,

    /// Double the rate again and again, for `--duration` each, until a goal is missed.
    #[arg(long, conflicts_with_all = ["saturate", "spike", "idle"])]
    pub ramp: bool,

    /// Say nothing: only be there.
    #[arg(long, conflicts_with_all = ["rate", "saturate", "spike"])]
    pub idle: bool,

    /// In the middle of it, drop so many connections at once and let them come back within ten seconds. Latencies are then those of
    /// whoever stays.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    pub storm: usize,

    /// Processes that share the load: the chats are dealt out to them, and their figures added up.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub processes: usize,

    /// Let the people register over REST, with everything that costs, rather than write them into the database.
    #[arg(long)]
    pub register: bool,

    /// How long the servers warm up before anything counts.
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub warm_up: Duration,

    /// Write all figures to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write a report with pictures to this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Where the servers are, and what they know.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Servers, to which people connect in turn.
    #[arg(long, required = true, value_delimiter = ',', value_name = "IP:PORT,…")]
    pub address: Vec<SocketAddr>,

    /// Their database: the people are written into it.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        required_unless_present = "register"
    )]
    pub database_url: Option<String>,

    /// The secret with which they check access tokens.
    #[arg(
        long,
        env = "JWT_SECRET",
        hide_env_values = true,
        value_name = "TEXT",
        required_unless_present = "register"
    )]
    pub jwt_secret: Option<String>,

    /// Processes of whom to read time and memory, by name: `gateway=4711,gateway=4712,postgres=4700`. Children count.
    #[arg(long, value_delimiter = ',', value_parser = watched, value_name = "NAME=PID,…")]
    pub watch: Vec<(String, u32)>,
}

fn watched(text: &str) -> Result<(String, u32), &'static str> {
    let (name, pid) = text.split_once('=').ok_or("must be NAME=PID")?;
    Ok((
        name.to_owned(),
        pid.parse().map_err(|_| "the PID must be a number")?,
    ))
}

/// One stretch of a run.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    pub name: &'static str,
    pub pace: Pace,
    pub duration: Duration,
    /// Whether it is for the servers to warm up.
    pub counts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pace {
    /// So many a second.
    Open(f64),
    /// So many under way.
    Closed(usize),
    Silent,
}

impl Options {
    /// What happens, one after the other. A ramp goes on by itself.
    pub fn phases(&self) -> Vec<Phase> {
        let rate = self.rate.unwrap_or(50.0);
        let pace = match self.saturate {
            _ if self.idle => Pace::Silent,
            Some(under_way) => Pace::Closed(under_way),
            None => Pace::Open(rate),
        };
        let usual = self.rate.is_none() && pace == Pace::Open(rate) && !self.ramp;
        let spike = self.spike.unwrap_or(if usual { 100.0 } else { 0.0 });
        let mut phases = Vec::new();
        if !self.warm_up.is_zero() && pace != Pace::Silent {
            phases.push(Phase {
                name: "warm-up",
                pace,
                duration: self.warm_up,
                counts: false,
            });
        }
        phases.push(Phase {
            name: match pace {
                Pace::Open(_) => "steady",
                Pace::Closed(_) => "saturated",
                Pace::Silent => "idle",
            },
            pace,
            duration: self.duration,
            counts: true,
        });
        if spike > 0.0 {
            phases.push(Phase {
                name: "spike",
                pace: Pace::Open(spike),
                duration: self.spike_duration,
                counts: true,
            });
        }
        phases
    }
}
