//! The sticky balancer in front of the replicas: HAProxy, on the address that clients know.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::gateway::Replica;
use super::http_probe;
use super::place::Place;
use super::ports;
use super::process::{self, Farewell, Job, Running};
use super::programs;
use super::progress::Progress;
use super::state::State;

pub(crate) const SERVICE: &str = "balancer";
pub(crate) const FAREWELL: Farewell = &[(Signal::TERM, Duration::from_secs(3))];

/// The one that production runs, too.
const CONFIGURATION: &str = include_str!("../../operate/balancer/haproxy.cfg");

/// Where clients look for the server (contract, 1.1).
const DEFAULT_PORT: u16 = 3000;

/// Decide on its port, which the replicas must know before they start: the one that was
/// asked for, or the usual one, or, when that belongs to somebody else, the next free one.
pub(crate) fn settle(
    place: &Place,
    state: &mut State,
    asked: Option<u16>,
    progress: &Progress,
) -> Result<u16> {
    if asked.is_some() {
        state.asked_port = asked;
    }
    let wanted = default_port(state);
    let running = Running::find(place, SERVICE).is_some();
    let current = state.ports.get(SERVICE).copied().filter(|_| running);
    let port = match current {
        Some(port) if port == wanted => port,
        // It had to make do with another port, and still has to.
        Some(port) if state.asked_port.is_none() && !ports::is_free(wanted) => port,
        _ => choose(wanted, state, progress)?,
    };
    if current != Some(port) {
        process::stop(place, SERVICE, FAREWELL)?;
    }
    state.ports.insert(SERVICE.to_owned(), port);
    state.save(place)?;
    Ok(port)
}

/// Make sure that it runs on this port, in front of these replicas.
pub(crate) fn ensure(place: &Place, port: u16, replicas: &[Replica]) -> Result<()> {
    let program = programs::find("haproxy")
        .context("haproxy is not installed: `cargo dev up` can install it, or `apt-get install haproxy`")?;
    let file = place.dir.join("haproxy.cfg");
    let mut job = Job::new(SERVICE, &program, &place.dir)
        .args(["-db", "-f"])
        .args([file.as_os_str()]);
    job.env = settings(port, replicas);
    CONFIGURATION.clone_into(&mut job.also);
    if Running::find(place, SERVICE).is_some_and(|running| running.follows(&job)) && is_answering(port) {
        return Ok(());
    }
    process::stop(place, SERVICE, FAREWELL)?;
    fs::write(&file, CONFIGURATION).with_context(|| format!("cannot write {}", file.display()))?;
    check(&program, &file, &job.env)?;
    let running = job.start(place)?;
    running.wait_until(place, SERVICE, Duration::from_secs(20), || is_answering(port))
}

/// The port that it should have.
pub(crate) fn default_port(state: &State) -> u16 {
    state.asked_port.unwrap_or(DEFAULT_PORT)
}

/// Whether a gateway answers through it.
pub(crate) fn is_answering(port: u16) -> bool {
    http_probe::get(port, "/health").is_some_and(|(status, _)| status == 200)
}

fn choose(wanted: u16, state: &State, progress: &Progress) -> Result<u16> {
    if ports::is_free(wanted) {
        return Ok(wanted);
    }
    let holder = ports::holder(wanted).unwrap_or_else(|| "another program".to_owned());
    if state.asked_port == Some(wanted) {
        bail!("port {wanted} belongs to {holder}: end it, or choose another with `cargo dev up --port N`");
    }
    let port = (wanted + 1..=u16::MAX)
        .find(|port| ports::is_free(*port) && !state.ports.values().any(|taken| taken == port))
        .context("no port above 3000 is free")?;
    progress.warn(&format!(
        "port {wanted} belongs to {holder}, so the balancer listens on port {port}. \
         The client expects 3000: end that program and run `cargo dev up` again, or use --port"
    ));
    Ok(port)
}

fn check(program: &Path, file: &Path, settings: &[(String, String)]) -> Result<()> {
    let mut command = Command::new(program);
    process::clean_env(&mut command);
    let output = command
        .args(["-c", "-q", "-f"])
        .arg(file)
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .output()
        .context("cannot run haproxy")?;
    if !output.status.success() {
        bail!(
            "this HAProxy (2.4 or newer is needed) rejects {}:\n{}",
            file.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// As many connections as two file descriptors each allow, up to 20,000.
fn max_connections() -> u64 {
    let files = process::raise_file_limit();
    (files.saturating_sub(200) / 2).clamp(100, 20_000)
}

/// What the configuration leaves open.
fn settings(port: u16, replicas: &[Replica]) -> Vec<(String, String)> {
    let mut listen = format!("127.0.0.1:{port}");
    if ports::has_ipv6() {
        let _ = write!(listen, ",[::1]:{port}");
    }
    let mut settings = vec![
        ("LISTEN".to_owned(), listen),
        ("MAX_CONNECTIONS".to_owned(), max_connections().to_string()),
    ];
    for (number, replica) in (1..).zip(replicas) {
        settings.push((format!("REPLICA_{number}"), format!("127.0.0.1:{}", replica.port)));
        settings.push((format!("REPLICA_{number}_OPS"), replica.ops_port.to_string()));
    }
    settings
}
