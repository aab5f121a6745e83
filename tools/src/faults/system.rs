//! The system that is broken: a PostgreSQL, a Redis and some replicas of its own, each a real process.
//!
//! Everything here waits for what it does; whoever has something else to do meanwhile calls it from a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::dev_stack::cluster;
use crate::dev_stack::gateway::{self, Surroundings};
use crate::dev_stack::http_probe;
use crate::dev_stack::place::Place;
use crate::dev_stack::ports;
use crate::dev_stack::postgres::{self, Postgres, Purpose};
use crate::dev_stack::process::{self, Farewell, Job, Running};
use crate::dev_stack::redis;
use crate::dev_stack::services;
use crate::dev_stack::state::State;

/// How long a replica may take to leave, or to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a replica is started that ends at once.
const ATTEMPTS: usize = 10;
/// At the end there is nothing to be kept.
const AT_ONCE: Farewell = &[];

/// SIGINT is PostgreSQL's "fast" shutdown, SIGQUIT its "immediate" one.
const FAST: Farewell = &[(Signal::INT, Duration::from_secs(20))];
const IMMEDIATE: Farewell = &[(Signal::QUIT, Duration::from_secs(20))];

/// What of the gateway's settings differs from production.
const SETTINGS: [(&str, &str); 6] = [
    ("RATE_LIMITS", "off"),
    ("BCRYPT_COST", "4"),
    // Long enough for clients to go one by one, short enough for a run with hundreds of deploys.
    ("DRAIN_DELAY", "1s"),
    ("LOG_FORMAT", "text"),
    ("LOG_LEVEL", "info,gateway::doors::http=warn,sqlx=warn"),
    ("RUST_BACKTRACE", "1"),
];

#[derive(Debug)]
pub struct System {
    place: Place,
    program: PathBuf,
    surroundings: Surroundings,
    state: Mutex<State>,
    redis_port: u16,
    replicas: Vec<Replica>,
}

#[derive(Debug)]
struct Replica {
    service: String,
    port: u16,
    ops_port: u16,
    running: Mutex<Option<Running>>,
}

impl System {
    /// Start all of it from nothing, with `program` as the gateway.
    pub fn start(place: Place, program: PathBuf, replicas: usize) -> Result<Self> {
        process::raise_file_limit();
        let mut state = State::load(&place);
        end(&place)?;
        let postgres = postgres::ensure(&place, &mut state, Purpose::Dev)?;
        postgres.begin_anew(cluster::DATABASE)?;
        let redis = redis::ensure(&place, &mut state)?;
        // Nobody sends images, and the gateway goes on without.
        let nobody = ports::for_service(&place, &mut state, "nobody")?;
        let surroundings = Surroundings {
            database_url: postgres.url,
            redis_url: redis.url,
            s3_port: nobody,
            jwt_secret: state.jwt_secret(),
            public_port: nobody,
        };
        let replica = |number: usize| {
            let service = format!("gateway-{number}");
            Ok(Replica {
                port: ports::for_service(&place, &mut state, &service)?,
                ops_port: ports::for_service(&place, &mut state, &gateway::ops(&service))?,
                running: Mutex::default(),
                service,
            })
        };
        for number in 1..=super::MOST_REPLICAS {
            let _ = std::fs::remove_file(place.log(&format!("gateway-{number}")));
        }
        let replicas = (1..=replicas).map(replica).collect::<Result<Vec<_>>>()?;
        state.save(&place)?;
        gateway::migrate(&place, &program, &surroundings)?;
        let system = Self {
            place,
            program,
            surroundings,
            state: Mutex::new(state),
            redis_port: redis.port,
            replicas,
        };
        for which in 0..system.replicas.len() {
            system.start_replica(which)?;
        }
        Ok(system)
    }

    pub fn database_url(&self) -> &str {
        &self.surroundings.database_url
    }

    pub fn jwt_secret(&self) -> &str {
        &self.surroundings.jwt_secret
    }

    /// Where clients connect.
    pub fn addresses(&self) -> Vec<String> {
        let address = |replica: &Replica| format!("http://127.0.0.1:{}", replica.port);
        self.replicas.iter().map(address).collect()
    }

    pub fn replicas(&self) -> usize {
        self.replicas.len()
    }

    pub fn start_replica(&self, which: usize) -> Result<()> {
        let replica = &self.replicas[which];
        let mut job = Job::new(&replica.service, &self.program, &self.place.dir).args(["serve"]);
        job.inherit = true;
        job.env = self.surroundings.env();
        let own = [
            ("LISTEN", format!("127.0.0.1:{}", replica.port)),
            ("OPS_LISTEN", format!("127.0.0.1:{}", replica.ops_port)),
            ("JWT_SECRET", self.surroundings.jwt_secret.clone()),
        ];
        let settings = SETTINGS.map(|(name, value)| (name, value.to_owned()));
        job.env.extend(
            own.into_iter()
                .chain(settings)
                .map(|(name, value)| (name.to_owned(), value)),
        );
        // Whoever runs replicas starts them again when they end: PostgreSQL may go away while one comes.
        for attempt in 1.. {
            let running = job.start(&self.place)?;
            let ready = running.wait_until(&self.place, &replica.service, PATIENCE, || {
                http_probe::is_ready(replica.ops_port)
            });
            match ready {
                Err(_) if attempt < ATTEMPTS && !running.is_alive() => sleep(Duration::from_millis(500)),
                ready => {
                    *lock(&replica.running) = Some(running);
                    return ready;
                }
            }
        }
        Ok(())
    }

    /// `kill -9`.
    pub fn kill_replica(&self, which: usize) {
        if let Some(running) = lock(&self.replicas[which].running).take() {
            running.signal(Signal::KILL);
            process::gone_within(&running, PATIENCE);
        }
    }

    pub fn signal_replica(&self, which: usize, signal: Signal) {
        if let Some(running) = &*lock(&self.replicas[which].running) {
            running.signal(signal);
        }
    }

    /// SIGTERM, and wait until it is gone.
    pub fn drain_replica(&self, which: usize) -> Result<()> {
        let replica = &self.replicas[which];
        let Some(running) = lock(&replica.running).take() else {
            return Ok(());
        };
        running.signal(Signal::TERM);
        if !process::gone_within(&running, PATIENCE) {
            running.signal(Signal::KILL);
            anyhow::bail!(
                "{} did not end {} s after SIGTERM",
                replica.service,
                PATIENCE.as_secs()
            );
        }
        Ok(())
    }

    /// What is wrong with the replicas that should run: gone by themselves, not ready, or panicked.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for replica in &self.replicas {
            let log = self.place.log(&replica.service);
            if lock(&replica.running)
                .as_ref()
                .is_some_and(|running| !running.is_alive())
            {
                let tail = process::tail(&log, 15);
                complaints.push(format!("{} ended by itself:\n{tail}", replica.service));
            } else if !http_probe::is_ready(replica.ops_port) {
                complaints.push(format!("{} is not ready", replica.service));
            }
            let panics = panics(&log);
            if !panics.is_empty() {
                complaints.push(format!("{} panicked:\n{}", replica.service, panics.join("\n")));
            }
        }
        complaints
    }

    pub fn stop_redis(&self) -> Result<()> {
        process::stop(&self.place, redis::SERVICE, redis::FAREWELL)?;
        Ok(())
    }

    pub fn start_redis(&self) -> Result<()> {
        redis::ensure(&self.place, &mut lock(&self.state))?;
        Ok(())
    }

    pub fn signal_redis(&self, signal: Signal) -> Result<()> {
        let running = Running::find(&self.place, redis::SERVICE).context("Redis does not run")?;
        running.signal(signal);
        Ok(())
    }

    pub fn say_to_redis(&self, command: &str) -> Result<String> {
        redis::say(self.redis_port, command)
    }

    pub fn stop_postgres(&self, immediate: bool) -> Result<()> {
        let farewell = if immediate { IMMEDIATE } else { FAST };
        process::stop(&self.place, postgres::SERVICE, farewell)?;
        Ok(())
    }

    pub fn start_postgres(&self) -> Result<()> {
        self.postgres()?;
        Ok(())
    }

    pub fn signal_postgres(&self, signal: Signal) -> Result<()> {
        postgres::signal_all(&self.place, signal)
    }

    /// End every connection of the gateway to PostgreSQL. Says how many there were.
    pub fn cut_postgres(&self) -> Result<usize> {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'gateway'";
        let cut = self.postgres()?.run_in("postgres", sql)?;
        Ok(cut.lines().count())
    }

    fn postgres(&self) -> Result<Postgres> {
        postgres::ensure(&self.place, &mut lock(&self.state), Purpose::Dev)
    }

    /// Where the replicas write what they think.
    pub fn logs(&self) -> Vec<PathBuf> {
        let log = |replica: &Replica| self.place.log(&replica.service);
        self.replicas.iter().map(log).collect()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Err(error) = end(&self.place) {
            eprintln!("something of the fault run still runs: {error:#}");
        }
    }
}

/// End whatever there is of it, frozen or not.
fn end(place: &Place) -> Result<()> {
    let _ = postgres::signal_all(place, Signal::CONT);
    if let Some(running) = Running::find(place, redis::SERVICE) {
        running.signal(Signal::CONT);
    }
    for number in 1..=super::MOST_REPLICAS {
        process::stop(place, &format!("gateway-{number}"), AT_ONCE)?;
    }
    process::stop(place, redis::SERVICE, AT_ONCE)?;
    process::stop(place, postgres::SERVICE, FAST)?;
    services::end_strays(place);
    Ok(())
}

/// The lines of a log that speak of panics.
fn panics(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains("panicked"));
    lines.take(5).map(str::to_owned).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
