//! `cargo dev doctor`: looks at everything that has ever kept a stack from working, and says for each
//! problem the one thing to do about it.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};

use super::apt;
use super::balancer;
use super::gateway;
use super::http_probe;
use super::place::Place;
use super::ports;
use super::process::{self, Running};
use super::programs::{self, OLDEST_POSTGRES};
use super::progress::{Colour, out, paint};
use super::services::{ALL, Health, Service};
use super::state::{self, State};

/// What a check found: a few words when all is well, otherwise the problem and what mends it.
type Finding = Result<String, (String, String)>;

pub fn run(place: &Place) -> Result<()> {
    let mut problems = 0;
    let mut tell = |what: &str, finding: Finding| match finding {
        Ok(words) => out(format!("{} {what}: {words}", paint(Colour::Green, "ok "))),
        Err((problem, remedy)) => {
            problems += 1;
            out(format!("{} {what}: {problem}", paint(Colour::Red, "NO ")));
            out(format!("    {} {remedy}", paint(Colour::Yellow, "->")));
        }
    };
    let state = State::load(place);

    tell("rustc", rustc(place));
    tell("C compiler", c_compiler());
    for finding in software() {
        tell("software", finding);
    }
    tell("disk", disk(place));
    tell("open files", open_files());
    tell("clock", clock(place));
    tell("stack's directory", directory(place));
    for finding in processes(place) {
        tell("processes", finding);
    }
    for finding in foreign_ports(place, &state) {
        tell("ports", finding);
    }
    for (title, finding) in services(place, &state) {
        tell(title, finding);
    }
    if problems > 0 {
        bail!("{problems} problem(s) found");
    }
    Ok(())
}

fn wrong<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Result<T, (String, String)> {
    Err((problem.into(), remedy.into()))
}

fn rustc(place: &Place) -> Finding {
    let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Some(version) = programs::version(Path::new(&program), "--version") else {
        return wrong("not found", "install Rust from https://rustup.rs");
    };
    let manifest = fs::read_to_string(place.workspace.join("Cargo.toml")).unwrap_or_default();
    let needed = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap_or("\"0\"");
    let needed = needed.trim().trim_matches('"');
    let number = |text: &str| -> Vec<u32> {
        text.split(['.', '-'])
            .map_while(|part| part.parse().ok())
            .collect()
    };
    let have = version.split_whitespace().nth(1).unwrap_or_default();
    if number(have) < number(needed) {
        return wrong(
            format!("{have} is older than {needed}"),
            "run `rustup update stable`",
        );
    }
    Ok(version)
}

fn c_compiler() -> Finding {
    match programs::find("cc") {
        Some(path) => Ok(path.display().to_string()),
        None => wrong(
            "no `cc`, which Rust needs for linking",
            apt::line(&["build-essential"]),
        ),
    }
}

fn software() -> Vec<Finding> {
    let missing = apt::missing();
    let mut findings: Vec<Finding> = missing
        .iter()
        .map(|package| {
            let remedy = if apt::is_debian() {
                apt::line(&[package])
            } else {
                format!("install {package}")
            };
            wrong(
                format!("{package} is missing"),
                format!("`cargo dev up` installs it when it may; or: {remedy}"),
            )
        })
        .collect();
    if let Some(bin) = programs::postgres_bins()
        .into_iter()
        .find(|bin| bin.major >= OLDEST_POSTGRES)
    {
        findings.push(Ok(format!("PostgreSQL {} in {}", bin.major, bin.dir.display())));
    }
    for (name, flag) in [
        ("redis-server", "--version"),
        ("haproxy", "-v"),
        ("curl", "--version"),
    ] {
        if let Some(path) = programs::find(name) {
            let version = programs::version(&path, flag).unwrap_or_default();
            findings.push(Ok(version.chars().take(60).collect()));
        }
    }
    findings
}

fn disk(place: &Place) -> Finding {
    const NEEDED: u64 = 5 << 30;
    let mut words = Vec::new();
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| place.workspace.join("target"), Into::into);
    for (what, path) in [("stack", place.dir.clone()), ("build", target)] {
        let Some(existing) = path.ancestors().find(|path| path.exists()) else {
            continue;
        };
        let Ok(stat) = rustix::fs::statvfs(existing) else {
            continue;
        };
        let free = stat.f_bavail * stat.f_frsize;
        if free < NEEDED {
            return wrong(
                format!(
                    "only {} MB free for the {what} ({})",
                    free >> 20,
                    existing.display()
                ),
                "make room: a build takes about 5 GB (`cargo clean`, `cargo dev reset`)",
            );
        }
        words.push(format!("{} GB free for the {what}", free >> 30));
    }
    Ok(words.join(", "))
}

fn open_files() -> Finding {
    let limit = process::raise_file_limit();
    if limit < 4096 {
        return wrong(
            format!("only {limit}, which is a thousand connections at best"),
            "raise the hard limit: `ulimit -Hn 65536` as root, or a line in /etc/security/limits.conf",
        );
    }
    Ok(limit.to_string())
}

fn clock(place: &Place) -> Finding {
    let now = SystemTime::now();
    let newest = place
        .workspace
        .join("Cargo.toml")
        .metadata()
        .and_then(|meta| meta.modified());
    match newest {
        Ok(newest) if newest > now + Duration::from_secs(60) => wrong(
            "it is behind the files of this clone, so builds and tokens will be wrong",
            "set it: `timedatectl set-ntp true`, or `date -s …`",
        ),
        _ => Ok("not behind the files of this clone".to_owned()),
    }
}

fn directory(place: &Place) -> Finding {
    let me = rustix::process::geteuid().as_raw();
    let short = place.short(&place.dir);
    for path in [
        place.dir.clone(),
        place.dir.join("run"),
        place.dir.join("logs"),
        place.dir.join("lock"),
        place.dir.join("postgres"),
        state::path(place),
    ] {
        let Ok(meta) = path.metadata() else { continue };
        if meta.uid() != me && me != 0 {
            return wrong(
                format!(
                    "{} belongs to somebody else (user id {})",
                    place.short(&path),
                    meta.uid()
                ),
                format!("sudo chown -R \"$(id -un)\" {short}"),
            );
        }
    }
    let file = state::path(place);
    if file
        .metadata()
        .is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    {
        return wrong(
            format!("{} holds secrets and others may read it", place.short(&file)),
            format!("chmod 600 {}", place.short(&file)),
        );
    }
    Ok(short)
}

fn processes(place: &Place) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in ALL {
        if Running::recorded(place, service.name).is_some() && Running::find(place, service.name).is_none() {
            findings.push(wrong(
                format!("{} ended without being asked to", service.title),
                format!(
                    "`cargo dev logs {}` says why; `cargo dev up` starts it again",
                    service.name
                ),
            ));
        }
    }
    for (service, pid) in process::strays(place) {
        findings.push(wrong(
            format!("{service} (pid {pid}) is of this stack, but its pid file is gone"),
            "`cargo dev up` and `cargo dev down` end it",
        ));
    }
    if findings.is_empty() {
        findings.push(Ok("none lost, none dead".to_owned()));
    }
    findings
}

fn foreign_ports(place: &Place, state: &State) -> Vec<Finding> {
    let mut findings = Vec::new();
    let down = |name: &str| Running::find(place, name).is_none();
    for service in ALL
        .iter()
        .filter(|service| service.name != balancer::SERVICE && down(service.name))
    {
        if let Some(port) = service.port(state).filter(|port| !ports::is_free(*port)) {
            let holder = ports::holder(port).unwrap_or_else(|| "another program".to_owned());
            findings.push(Ok(format!(
                "{port} of {} went to {holder}; the next `up` takes another",
                service.title
            )));
        }
    }
    let wanted = balancer::default_port(state);
    if down(balancer::SERVICE) && !ports::is_free(wanted) {
        let holder = ports::holder(wanted).unwrap_or_else(|| "another program".to_owned());
        findings.push(wrong(
            format!("{wanted}, where clients look for the balancer, belongs to {holder}"),
            "end that program, or choose another port: `cargo dev up --port N`",
        ));
    }
    if findings.is_empty() {
        findings.push(Ok("nobody is in the way".to_owned()));
    }
    findings
}

fn services(place: &Place, state: &State) -> Vec<(&'static str, Finding)> {
    let looks: Vec<_> = ALL
        .iter()
        .map(|service| (service, service.health(place, state)))
        .collect();
    if looks.iter().all(|(_, health)| matches!(health, Health::Down)) {
        return vec![("services", Ok("all down; `cargo dev up` starts them".to_owned()))];
    }
    let told = |service: &Service| Running::recorded(place, service.name).is_some();
    let mut findings: Vec<(&str, Finding)> = looks
        .into_iter()
        // What ended by itself has been told of already.
        .filter(|(service, health)| !matches!(health, Health::Down) || !told(service))
        .map(|(service, health)| {
            let finding = match health {
                Health::Well => Ok(service.address(state)),
                Health::Down => wrong("is down", "`cargo dev up` starts it"),
                Health::Sick(why) => wrong(
                    why,
                    format!(
                        "`cargo dev logs {}` may say why; `cargo dev up` replaces it",
                        service.name
                    ),
                ),
            };
            (service.title, finding)
        })
        .collect();
    if gateway::REPLICAS
        .iter()
        .all(|replica| Running::find(place, replica).is_some())
    {
        findings.push(("replicas", agreement(state)));
    }
    findings
}

/// Whether both replicas think the same of the things that they share.
fn agreement(state: &State) -> Finding {
    let ask = |replica: &str| {
        let port = state.ports.get(&gateway::ops(replica)).copied()?;
        let (status, body) = http_probe::get(port, "/health/ready")?;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        Some((status, body["checks"].to_string()))
    };
    match gateway::REPLICAS.map(ask) {
        [Some(one), Some(other)] if one == other => Ok(format!("both say {} {}", one.0, one.1)),
        [Some(one), Some(other)] => wrong(
            format!("they disagree: {} {} and {} {}", one.0, one.1, other.0, other.1),
            "`cargo dev logs gateway` shows what one of them cannot reach; `cargo dev up` replaces it",
        ),
        _ => wrong("not both answer", "`cargo dev up` starts what is missing"),
    }
}
