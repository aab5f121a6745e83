//! The gateway: built, migrated, and run as two identical replicas, as in production.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::cargo::cargo;
use super::http_probe;
use super::place::Place;
use super::ports;
use super::process::{self, Farewell, Job, Running};
use super::s3;
use super::state::State;

pub(crate) const REPLICAS: [&str; 2] = ["gateway-1", "gateway-2"];

/// A drain, as a deploy would do it. A second SIGTERM stops at once.
pub(crate) const DRAIN: Farewell = &[
    (Signal::TERM, Duration::from_secs(40)),
    (Signal::TERM, Duration::from_secs(5)),
];

/// When everything goes down there is nobody left to be gentle with.
pub(crate) const FAREWELL: Farewell = &[
    (Signal::TERM, Duration::from_millis(300)),
    (Signal::TERM, Duration::from_secs(5)),
];

/// One replica and its two ports.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) port: u16,
    pub(crate) ops_port: u16,
}

/// The key of a replica's ops port in the books.
pub(crate) fn ops(service: &str) -> String {
    format!("{service}-ops")
}

/// Build the gateway and put a copy where no later build can touch it while it runs.
pub(crate) fn build(place: &Place, release: bool) -> Result<PathBuf> {
    let mut command = cargo(place);
    // The whole workspace, so that dependencies get the same features as in the tests' builds and are
    // compiled once for both.
    command.args(["build", "--workspace", "--bin", "gateway"]);
    if release {
        command.arg("--release");
    }
    let built = executable_of(&mut command, "gateway")?;
    let built = built
        .context("the gateway does not compile: mend what cargo says above, then run `cargo dev up` again")?;
    keep(place, &built, "gateway")
}

/// Run a build, and say where the program of this name is; nothing, if it does not compile.
pub(crate) fn executable_of(build: &mut Command, name: &str) -> Result<Option<PathBuf>> {
    build.arg("--message-format=json-render-diagnostics");
    // Cargo's own progress goes to the terminal; only its list of artifacts comes to us.
    let mut child = build
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let executable = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| executable(&line, name))
        .last();
    Ok(executable.filter(|_| child.wait().is_ok_and(|status| status.success())))
}

/// The path of a program in one line of cargo's messages.
fn executable(line: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    (message["target"]["name"] == name).then_some(())?;
    message["executable"].as_str().map(PathBuf::from)
}

/// Copy a program to `bin/`, named after its content's size and time, and drop older copies of it.
pub(crate) fn keep(place: &Place, built: &Path, name: &str) -> Result<PathBuf> {
    let bin = place.dir.join("bin");
    fs::create_dir_all(&bin)?;
    let meta = built
        .metadata()
        .with_context(|| format!("{} is gone", built.display()))?;
    let stamp = format!(
        "{name}-{:x}-{:x}{:08x}",
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec()
    );
    let copy = bin.join(&stamp);
    if !copy.exists() {
        let new = bin.join(format!("{stamp}.new"));
        fs::copy(built, &new)
            .with_context(|| format!("cannot copy {} to {}", built.display(), new.display()))?;
        fs::rename(&new, &copy)?;
    }
    Ok(copy)
}

/// Remove the copies that no replica runs any more.
pub(crate) fn forget_others(current: &Path) {
    let Some(bin) = current.parent() else { return };
    for entry in fs::read_dir(bin).into_iter().flatten().flatten() {
        let same_program = entry.file_name().to_string_lossy().starts_with("gateway-");
        if same_program && entry.path() != current {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What a gateway needs to know about the rest of the stack.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
    pub(crate) s3_port: u16,
    pub(crate) jwt_secret: String,
    /// The balancer's port.
    pub(crate) public_port: u16,
}

impl Surroundings {
    /// The settings of every process of the gateway. Addresses are the stack's business; for the rest a
    /// variable in the user's own environment wins.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let own = [
            ("DATABASE_URL", self.database_url.clone()),
            ("REDIS_URL", self.redis_url.clone()),
            ("S3_ENDPOINT", format!("http://127.0.0.1:{}", self.s3_port)),
            ("S3_REGION", s3::REGION.to_owned()),
            ("S3_BUCKET", s3::BUCKET.to_owned()),
            ("S3_ACCESS_KEY_ID", s3::ACCESS_KEY_ID.to_owned()),
            ("S3_SECRET_ACCESS_KEY", s3::SECRET_ACCESS_KEY.to_owned()),
        ];
        let defaults = [
            ("PUBLIC_URL", format!("http://localhost:{}", self.public_port)),
            ("JWT_SECRET", self.jwt_secret.clone()),
            // Three of the client's HTTP instances never refresh (contract, Q1).
            ("ACCESS_TOKEN_TTL", "12h".to_owned()),
            ("TRUSTED_PROXIES", "127.0.0.1/32,::1/128".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        let unset = defaults
            .into_iter()
            .filter(|(name, _)| env::var_os(name).is_none());
        own.into_iter()
            .chain(unset)
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// Bring the database up to date.
pub(crate) fn migrate(place: &Place, program: &Path, surroundings: &Surroundings) -> Result<String> {
    let output = Command::new(program)
        .arg("migrate")
        .envs(surroundings.env())
        .current_dir(&place.dir)
        .stdin(Stdio::null())
        .output()
        .context("cannot run the gateway")?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    fs::write(place.log("migrate"), &said)?;
    if !output.status.success() {
        bail!(
            "`gateway migrate` failed. If the migrations changed under data you can spare, `cargo dev reset` \
             and start again. It said:\n{said}"
        );
    }
    Ok("the schema is up to date".to_owned())
}

/// Make sure that a replica runs this program with these settings, and is ready. An old one is drained
/// first; the other replica serves meanwhile.
pub(crate) fn ensure(
    place: &Place,
    state: &mut State,
    service: &'static str,
    program: &Path,
    surroundings: &Surroundings,
    variables: &str,
) -> Result<(Replica, &'static str)> {
    let job = |port: u16, ops_port: u16| {
        let mut job = Job::new(service, program, &place.dir).args(["serve"]);
        job.inherit = true;
        job.env = surroundings.env();
        job.env.push(("LISTEN".to_owned(), format!("127.0.0.1:{port}")));
        job.env
            .push(("OPS_LISTEN".to_owned(), format!("127.0.0.1:{ops_port}")));
        job.also = variables.to_owned();
        job
    };
    let mut did = "started";
    let remembered = (
        state.ports.get(service).copied(),
        state.ports.get(&ops(service)).copied(),
    );
    if let (Some(running), (Some(port), Some(ops_port))) = (Running::find(place, service), remembered) {
        if running.follows(&job(port, ops_port)) {
            let ready = || http_probe::is_ready(ops_port);
            if running
                .wait_until(place, service, Duration::from_secs(10), ready)
                .is_ok()
            {
                return Ok((Replica { port, ops_port }, "was running"));
            }
        }
        did = "restarted";
        // The other one may have become ready just now, and the balancer looks every half second.
        sleep(Duration::from_secs(1));
    }
    process::stop(place, service, DRAIN)?;
    let port = ports::for_service(place, state, service)?;
    let ops_port = ports::for_service(place, state, &ops(service))?;
    let running = job(port, ops_port).start(place)?;
    running.wait_until(place, service, Duration::from_secs(60), || {
        http_probe::is_ready(ops_port)
    })?;
    Ok((Replica { port, ops_port }, did))
}

/// The variables of the user's environment that mean something to the gateway, as one text. When it
/// changes, the replicas must start anew.
pub(crate) fn variables(program: &Path) -> String {
    let help = Command::new(program).args(["serve", "--help"]).output();
    let help = help
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let set: BTreeMap<String, String> = names(&help)
        .into_iter()
        .filter_map(|name| env::var(&name).ok().map(|value| (name, value)))
        .collect();
    format!("{set:?}")
}

/// Every variable that clap's help speaks of (`[env: NAME=…]`), and those of its libraries.
fn names(help: &str) -> Vec<String> {
    let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let mentioned = flat.split("[env: ").skip(1).filter_map(|rest| {
        let name: String = rest
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        (!name.is_empty()).then_some(name)
    });
    mentioned
        .chain(["RUST_LOG", "RUST_BACKTRACE"].map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn the_help_names_the_variables() {
        let help = "--listen <LISTEN>  Where [env: LISTEN=] [default: 0]\n --ttl  Long text\n   [env:\n   ACCESS_TOKEN_TTL=12h]";
        assert_eq!(
            names(help),
            ["LISTEN", "ACCESS_TOKEN_TTL", "RUST_LOG", "RUST_BACKTRACE"]
        );
    }
}
