//! `cargo dev load`: the load test against the stack that runs here.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use clap::Args as _;

use super::{
    cargo::cargo, cluster, gateway, place::Place, postgres, process::Running, progress::Progress, redis,
    state::State,
};
use crate::load::Options;

/// The program that loads, and what it has to know of those it loads.
#[derive(Debug)]
pub(crate) struct LoadTest {
    program: PathBuf,
    pub(crate) addresses: Vec<u16>,
    pub(crate) database_url: String,
    pub(crate) jwt_secret: String,
    /// Whose time and memory to read.
    pub(crate) watch: Vec<(&'static str, i32)>,
}

/// Everything that is said on the command line goes to the program as it is.
pub fn run(place: &Place, options: &[String]) -> Result<()> {
    if options.iter().any(|option| option == "--help" || option == "-h") {
        // Without building it, which takes minutes.
        let command = Options::augment_args(clap::Command::new("load").bin_name("cargo dev load"));
        let about = "Let many people write to each other, and measure when everybody has heard it.";
        return Ok(command.about(about).print_help()?);
    }
    let progress = Progress::new();
    let program = build(place, &progress)?;
    let state = State::load(place);
    let port = |service: &str| {
        let port = state.ports.get(service).copied();
        port.context("the stack does not run: `RATE_LIMITS=off cargo dev up --release` starts it")
    };
    let running = |service| Running::find(place, service).map(|running| running.pid);
    let mut watch = Vec::new();
    for replica in gateway::REPLICAS {
        let pid = running(replica)
            .context("the gateways do not run: `RATE_LIMITS=off cargo dev up --release` starts them")?;
        watch.push(("server", pid));
    }
    watch.extend(running(postgres::SERVICE).map(|pid| ("postgres", pid)));
    watch.extend(running(redis::SERVICE).map(|pid| ("redis", pid)));
    let test = LoadTest {
        program,
        addresses: gateway::REPLICAS.into_iter().map(port).collect::<Result<_>>()?,
        database_url: cluster::url(place, port(postgres::SERVICE)?)?,
        jwt_secret: state.jwt_secret.clone().context("the stack has no secret")?,
        watch,
    };
    // It takes our place: its exit status says whether the goals were met.
    Err(test.command(options).exec().into())
}

/// Compile it as for production: it must not be slower than those it measures.
pub(crate) fn build(place: &Place, progress: &Progress) -> Result<PathBuf> {
    progress.say("building the load test (minutes the first time)");
    let built = gateway::executable_of(
        cargo(place).args(["build", "--release", "--workspace", "--bin", "load-test"]),
        "load-test",
    )?;
    match built {
        Some(built) => Ok(built),
        None => bail!("the load test does not compile: mend what cargo says above"),
    }
}

impl LoadTest {
    pub(crate) fn new(program: &Path, database_url: String, jwt_secret: String) -> Self {
        Self {
            program: program.to_owned(),
            addresses: Vec::new(),
            database_url,
            jwt_secret,
            watch: Vec::new(),
        }
    }

    pub(crate) fn command(&self, options: &[String]) -> Command {
        let addresses = self.addresses.iter().map(|port| format!("127.0.0.1:{port}"));
        let watch = self.watch.iter().map(|(name, pid)| format!("{name}={pid}"));
        let mut command = Command::new(&self.program);
        command
            .args(["--address", &addresses.collect::<Vec<_>>().join(",")])
            .args(["--watch", &watch.collect::<Vec<_>>().join(",")])
            .args(options)
            // By environment, because everybody on the machine can read a command line.
            .env("DATABASE_URL", &self.database_url)
            .env("JWT_SECRET", &self.jwt_secret);
        command
    }
}
