//! The sticky balancer in front of the replicas: HAProxy, on the address that clients know.

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
    let text = configuration(port, replicas);
    let mut job = Job::new(SERVICE, &program, &place.dir)
        .args(["-db", "-f"])
        .args([file.as_os_str()]);
    job.also.clone_from(&text);
    if Running::find(place, SERVICE).is_some_and(|running| running.follows(&job)) && is_answering(port) {
        return Ok(());
    }
    process::stop(place, SERVICE, FAREWELL)?;
    fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    check(&program, &file)?;
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

fn check(program: &Path, file: &Path) -> Result<()> {
    let output = Command::new(program)
        .args(["-c", "-q", "-f"])
        .arg(file)
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

fn configuration(port: u16, replicas: &[Replica]) -> String {
    let ipv6 = if ports::has_ipv6() {
        format!("\n    bind [::1]:{port}")
    } else {
        String::new()
    };
    let servers: Vec<String> = replicas
        .iter()
        .map(
            |Replica {
                 service,
                 port,
                 ops_port,
                 ..
             }| {
                format!("    server {service} 127.0.0.1:{port} cookie {service} check port {ops_port}")
            },
        )
        .collect();
    let errors: Vec<String> = [
        (400, "VALIDATION_ERROR", "This is not a request that can be understood, or its head is too large."),
        (408, "VALIDATION_ERROR", "The request did not arrive in time."),
        (500, "INTERNAL_ERROR", "Something went wrong on our side."),
        (502, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable. Please try again."),
        (503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable. Please try again."),
        (504, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable. Please try again."),
    ]
        .map(|(status, code, text)| {
            format!(
                "    http-error status {status} content-type application/json hdr Retry-After 1 string \
                 '{{\"error\":\"{text}\",\"message\":\"{text}\",\"code\":\"{code}\",\"statusCode\":{status}}}'"
            )
        })
        .to_vec();
    format!(
        "# Written by `cargo dev up`; changes are lost.
global
    maxconn {max_connections}
    # Heads of requests up to 32 kB; beyond, it answers 400.
    tune.bufsize 32768
    log stdout format raw daemon notice

defaults
    mode http
    log global
    option dontlog-normal
    timeout connect 2s
    timeout check 2s
    # A long poll is answered within 25 s, and a client that says nothing for 75 s is gone.
    timeout client 75s
    timeout http-request 30s
    # Registrations queue behind password hashing.
    timeout server 10m
    timeout tunnel 2h
    # Only a request that never reached a replica is tried on the other one.
    retries 3
    retry-on conn-failure
    option redispatch 1
{errors}

frontend public
    bind 127.0.0.1:{port}{ipv6}
    # What the client claims about its address is replaced, not continued.
    http-request del-header Forwarded
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    default_backend replicas

backend replicas
    balance leastconn
    # An Engine.IO session lives in one replica. The handshake's answer names it, and every later request
    # carries it in the query: that works for clients without cookies. Those with cookies stay by cookie.
    stick-table type string len 64 size 200k expire 24h
    stick match url_param(sid)
    stick store-response res.hdr(X-Engine-Sid)
    cookie REPLICA insert indirect nocache httponly
    # A draining replica is not ready for new clients, but keeps those that it has.
    force-persist if {{ url_param(sid) -m found }}
    option httpchk
    http-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host localhost
    http-check expect status 200
    default-server inter 500ms fall 2 rise 1
{servers}
",
        max_connections = max_connections(),
        errors = errors.join("\n"),
        servers = servers.join("\n"),
    )
}
