//! `cargo dev compare`: the same load on our gateway and on the server that a Node team would write (`tools/compare`), in turn, on
//! the same PostgreSQL and Redis. What counts is the ratio: both met the same machine in the same minutes.
//!
//! Ours is one process, theirs are two, because theirs cannot use two processors otherwise. What PostgreSQL takes by itself is
//! measured in between (`pgbench`).

mod pgbench;
mod report;
mod rows;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use self::{
    report::Line,
    rows::{Load, Outcome, ROWS, Round, Servers},
};
use super::{
    gateway, http_probe,
    load::{self, LoadTest},
    lock,
    place::Place,
    ports,
    postgres::{self, Postgres, Purpose},
    process::{self, Job, Running},
    programs,
    progress::Progress,
    redis::{self, Redis},
    state::{self, State},
};

const OURS: [&str; 2] = ["compared-gateway", "compared-gateway-2"];
const THEIRS: [&str; 2] = ["compared-peer-1", "compared-peer-2"];
const DATABASE: &str = "compared";

#[derive(Debug)]
pub struct Options {
    /// How often everything is measured.
    pub rounds: usize,
    /// How long each time.
    pub duration: Duration,
    /// Only rows whose names contain this.
    pub only: Option<String>,
    /// With fewer people where there are thousands.
    pub quick: bool,
    pub json: Option<PathBuf>,
    pub html: Option<PathBuf>,
}

/// A goal that is missed is an error.
pub fn run(place: &Place, options: &Options) -> Result<()> {
    let progress = Progress::new();
    let _lock = lock::take(place, || {
        progress.say("waiting for another `cargo dev` in this clone to finish");
    })?;
    process::raise_file_limit();
    let mut state = State::load(place);
    let postgres = postgres::ensure(place, &mut state, Purpose::Dev)?;
    let redis = redis::ensure(place, &mut state)?;
    progress.say("building the gateway (minutes the first time)");
    let gateway = gateway::build(place, true)?;
    let test = load::build(place, &progress)?;
    let peer = install_peer(place, &progress)?;
    let mut stage = Stage {
        place,
        state,
        postgres,
        redis,
        gateway,
        test,
        peer,
        jwt_secret: state::secret(),
    };
    let measured = stage.all_rounds(options, &progress);
    stage.clear()?;
    let lines = measured?;
    report::print(&lines);
    report::write(&lines, options)?;
    match lines.iter().filter(|line| !line.is_met()).count() {
        0 => Ok(()),
        missed => bail!("{missed} of {} goals are missed", lines.len()),
    }
}

struct Stage<'a> {
    place: &'a Place,
    state: State,
    postgres: Postgres,
    redis: Redis,
    gateway: PathBuf,
    test: PathBuf,
    peer: Peer,
    jwt_secret: String,
}

struct Peer {
    node: PathBuf,
    dir: PathBuf,
}

impl Stage<'_> {
    fn all_rounds(&mut self, options: &Options, progress: &Progress) -> Result<Vec<Line>> {
        let is_wanted = |name: &str| {
            options
                .only
                .as_ref()
                .is_none_or(|only| name.contains(only.as_str()))
        };
        let mut lines: Vec<Line> = ROWS
            .iter()
            .filter(|row| is_wanted(row.name))
            .map(Line::of)
            .collect();
        let mut loads: Vec<&Load> = Vec::new();
        for line in &lines {
            if !loads.contains(&line.row.load) {
                loads.push(line.row.load);
            }
        }
        if loads.is_empty() {
            bail!("no row is called so");
        }
        for round in 1..=options.rounds {
            for load in &loads {
                progress.say(&format!("round {round} of {}: {}", options.rounds, load.name));
                let measured = self.measure_both(load, options)?;
                for line in lines.iter_mut().filter(|line| line.row.load == *load) {
                    line.add(&measured)?;
                }
            }
        }
        Ok(lines)
    }

    fn measure_both(&mut self, load: &Load, options: &Options) -> Result<Round> {
        let [mine, bystander] = OURS;
        let ours: &[&str] = match load.servers {
            Servers::Usual => &[mine],
            Servers::Bystander => &[mine, bystander],
        };
        let ours = self.measure(ours, load, options)?;
        let pgbench = if load.pgbench {
            self.clear()?;
            let duration = options.duration / 2;
            Some(pgbench::run(self.place, &self.postgres, DATABASE, duration)?)
        } else {
            None
        };
        Ok(Round {
            ours,
            theirs: self.measure(&THEIRS, load, options)?,
            pgbench,
        })
    }

    /// A new database, new servers, one run.
    fn measure(&mut self, servers: &[&'static str], load: &Load, options: &Options) -> Result<Outcome> {
        self.clear()?;
        self.postgres.begin_anew(DATABASE)?;
        let mut test = LoadTest::new(
            &self.test,
            self.postgres.url_of(DATABASE),
            self.jwt_secret.clone(),
        );
        self.migrate(&test.database_url)?;
        for (number, service) in servers.iter().enumerate() {
            let port = ports::for_service(self.place, &mut self.state, service)?;
            let ops_port = ports::for_service(self.place, &mut self.state, &gateway::ops(service))?;
            let running = self.job(service, &test, port, ops_port).start(self.place)?;
            running.wait_until(self.place, service, Duration::from_secs(30), || {
                http_probe::get(port, "/health").is_some_and(|(status, _)| status == 200)
            })?;
            if load.servers == Servers::Bystander && number > 0 {
                test.watch.push(("bystander", running.pid));
            } else {
                test.addresses.push(port);
                test.watch.push(("server", running.pid));
            }
        }
        for (name, service) in [("postgres", postgres::SERVICE), ("redis", redis::SERVICE)] {
            let running = Running::find(self.place, service);
            test.watch.extend(running.map(|running| (name, running.pid)));
        }
        let json = self.place.dir.join("compared.json");
        let people = load.quick.filter(|_| options.quick).unwrap_or(load.options);
        let duration = options.duration.max(load.at_least);
        let mut arguments: Vec<String> = people.iter().map(|option| (*option).to_owned()).collect();
        arguments.push(format!("--duration={}s", duration.as_secs()));
        arguments.extend(["--json".to_owned(), json.display().to_string()]);
        // That somebody missed a goal is a result like any other. Its own table would bury ours.
        let status = test
            .command(&arguments)
            .stdout(Stdio::null())
            .status()
            .context("cannot run the load test")?;
        if status.code().is_none_or(|code| code > 1) {
            bail!("the load test failed");
        }
        Ok(Outcome(serde_json::from_slice(&fs::read(&json)?)?))
    }

    fn migrate(&self, database_url: &str) -> Result<()> {
        let output = std::process::Command::new(&self.gateway)
            .arg("migrate")
            .env("DATABASE_URL", database_url)
            .output()?;
        if !output.status.success() {
            bail!(
                "`gateway migrate` failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    fn job(&self, service: &str, test: &LoadTest, port: u16, ops_port: u16) -> Job {
        let is_ours = OURS.contains(&service);
        let mut job = if is_ours {
            Job::new(service, &self.gateway, &self.place.dir).args(["serve"])
        } else {
            Job::new(service, &self.peer.node, &self.peer.dir).args(["peer.js"])
        };
        let env = [
            ("DATABASE_URL", test.database_url.clone()),
            ("REDIS_URL", self.redis.url.clone()),
            ("JWT_SECRET", test.jwt_secret.clone()),
            ("PORT", port.to_string()),
            ("LISTEN", format!("127.0.0.1:{port}")),
            ("OPS_LISTEN", format!("127.0.0.1:{ops_port}")),
            ("RATE_LIMITS", "off".to_owned()),
            ("LOG_LEVEL", "warn".to_owned()),
            // Nobody looks at a picture meanwhile.
            ("S3_ENDPOINT", "http://127.0.0.1:9".to_owned()),
            ("S3_ACCESS_KEY_ID", "nobody".to_owned()),
            ("S3_SECRET_ACCESS_KEY", "nothing".to_owned()),
        ];
        job.env.extend(env.map(|(name, value)| (name.to_owned(), value)));
        job
    }

    /// Stop whoever was measured.
    fn clear(&self) -> Result<()> {
        for service in OURS.iter().chain(&THEIRS) {
            process::stop(self.place, service, gateway::FAREWELL)?;
        }
        Ok(())
    }
}

/// What its lock file names.
fn install_peer(place: &Place, progress: &Progress) -> Result<Peer> {
    let node = programs::find("node").context("node is not installed: `apt-get install nodejs npm`")?;
    let dir = place.workspace.join("tools/compare");
    let (lock, mark) = (dir.join("package-lock.json"), dir.join("node_modules/.installed"));
    if !same(&lock, &mark) {
        progress.step("npm ci", || {
            let status = std::process::Command::new("npm")
                .args([
                    "ci",
                    "--prefer-offline",
                    "--no-audit",
                    "--no-fund",
                    "--loglevel=error",
                ])
                .current_dir(&dir)
                .status()
                .context("npm is not installed: `apt-get install npm`")?;
            if !status.success() {
                bail!("npm cannot install what tools/compare needs");
            }
            fs::copy(&lock, &mark)?;
            Ok(((), "the peer is ready".to_owned()))
        })?;
    }
    Ok(Peer { node, dir })
}

fn same(one: &Path, other: &Path) -> bool {
    fs::read(one).is_ok_and(|one| fs::read(other).is_ok_and(|other| one == other))
}
