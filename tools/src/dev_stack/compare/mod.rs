//! `cargo dev compare`: the same load on our gateway and on the server that a Node team would write (`tools/compare`), in turn, on
//! the same PostgreSQL and Redis. What counts is the ratio: both met the same machine in the same minutes.
//!
//! Ours is one process, theirs are two, because theirs cannot use two processors otherwise.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    gateway, http_probe,
    load::{self, LoadTest},
    lock,
    place::Place,
    ports,
    postgres::{self, Postgres, Purpose},
    process::{self, Job, Running},
    programs,
    progress::{Progress, out},
    redis::{self, Redis},
    state::{self, State},
    table::Rows,
};

const OURS: &[&str] = &["compared-gateway"];
const THEIRS: &[&str] = &["compared-peer-1", "compared-peer-2"];

/// What is measured: a name for people, the load, and the figure.
struct Scene {
    name: &'static str,
    options: &'static [&'static str],
    figure: fn(&Value) -> Option<f64>,
    /// Whether more is better.
    more: bool,
}

const SCENES: [Scene; 6] = [
    Scene {
        name: "sends acknowledged a second, saturated, groups of 10",
        options: &["--users=500", "--group-size=10", "--saturate=256"],
        figure: |phase| phase["sends_per_second"].as_f64(),
        more: true,
    },
    Scene {
        name: "deliveries a second, saturated, groups of 50",
        options: &["--users=500", "--group-size=50", "--saturate=128"],
        figure: |phase| phase["deliveries_per_second"].as_f64(),
        more: true,
    },
    Scene {
        name: "µs of a processor for each delivery, the same",
        options: &["--users=500", "--group-size=50", "--saturate=128"],
        figure: per_delivery,
        more: false,
    },
    Scene {
        name: "µs of a processor for each delivery, 500 messages/s, groups of 10",
        options: &["--users=500", "--group-size=10", "--rate=500"],
        figure: per_delivery,
        more: false,
    },
    Scene {
        name: "p99 of delivery in ms, 50 messages/s, 1,000 people",
        options: &["--users=1000", "--group-size=10", "--rate=50"],
        figure: |phase| phase["delivery"]["p99"].as_f64(),
        more: false,
    },
    Scene {
        name: "KiB for each idle connection, 8,000 connections",
        options: &["--users=8000", "--group-size=10", "--idle"],
        figure: |phase| phase["idle_kib"].as_f64(),
        more: false,
    },
];

fn per_delivery(phase: &Value) -> Option<f64> {
    Some(phase["used"]["server"]["cpu"].as_f64()? * 1_000_000.0 / phase["delivered"].as_f64()?)
}

#[derive(Debug)]
pub struct Options {
    /// How often everything is measured.
    pub rounds: usize,
    /// How long each time.
    pub duration: Duration,
    /// Only scenes whose names contain this.
    pub only: Option<String>,
}

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
    print(&measured?);
    Ok(())
}

/// Scene → what was measured in each round: ours and theirs.
type Figures = BTreeMap<usize, Vec<(f64, f64)>>;

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
    fn all_rounds(&mut self, options: &Options, progress: &Progress) -> Result<Figures> {
        let wanted = |scene: &Scene| {
            options
                .only
                .as_ref()
                .is_none_or(|only| scene.name.contains(only.as_str()))
        };
        let mut figures = Figures::new();
        for round in 1..=options.rounds {
            let mut done: Option<(&[&str], Value, Value)> = None;
            for (number, scene) in SCENES.iter().enumerate().filter(|(_, scene)| wanted(scene)) {
                let (ours, theirs) = match &done {
                    // Two figures of one load.
                    Some((options, ours, theirs)) if *options == scene.options => {
                        (ours.clone(), theirs.clone())
                    }
                    _ => {
                        progress.say(&format!("round {round} of {}: {}", options.rounds, scene.name));
                        let ours = self.measure(OURS, scene, options.duration)?;
                        (ours, self.measure(THEIRS, scene, options.duration)?)
                    }
                };
                let figure =
                    |outcome: &Value| (scene.figure)(outcome).context("the load test told us nothing");
                figures
                    .entry(number)
                    .or_default()
                    .push((figure(&ours)?, figure(&theirs)?));
                done = Some((scene.options, ours, theirs));
            }
        }
        Ok(figures)
    }

    /// A new database, new servers, one run: the figures of its one phase.
    fn measure(&mut self, servers: &[&'static str], scene: &Scene, duration: Duration) -> Result<Value> {
        self.clear()?;
        let database = "compared";
        self.postgres.run_in(
            super::cluster::DATABASE,
            &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE);\nCREATE DATABASE {database};"),
        )?;
        let mut test = LoadTest::new(
            &self.test,
            self.postgres.url_of(database),
            self.jwt_secret.clone(),
        );
        self.migrate(&test.database_url)?;
        for service in servers {
            let port = ports::for_service(self.place, &mut self.state, service)?;
            let ops_port = ports::for_service(self.place, &mut self.state, &gateway::ops(service))?;
            let running = self.job(service, &test, port, ops_port).start(self.place)?;
            running.wait_until(self.place, service, Duration::from_secs(30), || {
                http_probe::get(port, "/health").is_some_and(|(status, _)| status == 200)
            })?;
            test.addresses.push(port);
            test.watch.push(("server", running.pid));
        }
        for (name, service) in [("postgres", postgres::SERVICE), ("redis", redis::SERVICE)] {
            let running = Running::find(self.place, service);
            test.watch.extend(running.map(|running| (name, running.pid)));
        }
        let json = self.place.dir.join("compared.json");
        let mut options: Vec<String> = scene.options.iter().map(|option| (*option).to_owned()).collect();
        options.push(format!("--duration={}s", duration.as_secs()));
        options.extend(["--json".to_owned(), json.display().to_string()]);
        // That somebody missed a goal is a result like any other.
        let status = test
            .command(&options)
            .status()
            .context("cannot run the load test")?;
        if status.code().is_none_or(|code| code > 1) {
            bail!("the load test failed");
        }
        let outcomes: Value = serde_json::from_slice(&fs::read(&json)?)?;
        let outcome = &outcomes[0];
        let mut phase = outcome["phases"][0].clone();
        let memory = |used: &Value| used["server"]["resident"].as_f64();
        if let (Some(before), Some(after)) = (memory(&outcome["before"]), memory(&phase["used"])) {
            let connections = outcome["connections"].as_f64().unwrap_or(1.0);
            phase["idle_kib"] = ((after - before) / 1024.0 / connections).into();
        }
        Ok(phase)
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
        for service in OURS.iter().chain(THEIRS) {
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

/// The middle of the rounds, and the ratio in each.
fn print(figures: &Figures) {
    let mut rows = Rows::under(&["", "gateway", "peer (two processes)", "ratio", "in each round"]);
    for (number, rounds) in figures {
        let scene = &SCENES[*number];
        let ratio = |(ours, theirs): &(f64, f64)| if scene.more { ours / theirs } else { theirs / ours };
        let ratios: Vec<f64> = rounds.iter().map(ratio).collect();
        let each = ratios
            .iter()
            .map(|ratio| format!("{ratio:.2}"))
            .collect::<Vec<_>>()
            .join(" ");
        rows.add(&[
            scene.name,
            &shown(middle(rounds.iter().map(|(ours, _)| *ours).collect())),
            &shown(middle(rounds.iter().map(|(_, theirs)| *theirs).collect())),
            &format!("{:.2} ×", middle(ratios)),
            &each,
        ]);
    }
    out(rows.finish());
    out("A ratio above 1 speaks for the gateway.");
}

fn shown(figure: f64) -> String {
    if figure >= 1_000.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}")
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
