//! Processes that outlive us. A service is started in a session of its own with its output in a log
//! file, so that neither a closed terminal nor the death of `cargo dev` takes it along; and it is found
//! again by pid *and* start time, so that a stranger who inherited the pid is never taken for ours.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde::{Deserialize, Serialize};

use super::os_user::OsUser;
use super::place::Place;
use super::state::write_private;

/// Every process of a stack carries this in its environment: `<directory>:<service>`. It is how a child
/// is recognised whose pid file was lost.
pub(crate) const MARK: &str = "MESSENGER_DEV_STACK";

/// A log that grew beyond this is moved aside when the service starts again.
const LOG_LIMIT: u64 = 8 << 20;

/// What to start and how. Two equal jobs need no restart.
pub(crate) struct Job {
    pub(crate) service: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, String)>,
    /// Whether the service sees our environment too, or only a clean one.
    pub(crate) inherit: bool,
    pub(crate) cwd: PathBuf,
    pub(crate) user: Option<OsUser>,
    /// Whatever else asks for a restart when it changes: a configuration's text, inherited variables.
    pub(crate) also: String,
}

/// A process of ours that was alive when we looked.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    /// Start time in clock ticks since boot, which together with the pid names a process for good.
    ticks: u64,
    boot: String,
    /// Seconds since 1970, for people.
    pub(crate) since: u64,
    job: u64,
}

impl Job {
    pub(crate) fn new(service: &str, program: impl Into<PathBuf>, cwd: impl Into<PathBuf>) -> Self {
        Self {
            service: service.to_owned(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            inherit: false,
            cwd: cwd.into(),
            user: None,
            also: String::new(),
        }
    }

    pub(crate) fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.program, &self.args, &self.env, &self.cwd, &self.also).hash(&mut hasher);
        hasher.finish()
    }

    /// Start it and write down who it is.
    pub(crate) fn start(&self, place: &Place) -> Result<Running> {
        let log = open_log(&place.log(&self.service))?;
        // `setsid` (util-linux, essential on Debian) replaces itself, so the pid stays the same.
        let mut command = Command::new("setsid");
        command.arg(&self.program).args(&self.args).current_dir(&self.cwd);
        if !self.inherit {
            clean_env(&mut command);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env(MARK, mark(place, &self.service));
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {} ({})", self.service, self.program.display()))?;
        let pid = i32::try_from(child.id())?;
        let ticks = start_ticks(pid).with_context(|| format!("{} died at once", self.service))?;
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let running = Running {
            pid,
            ticks,
            boot: boot_id(),
            since,
            job: self.fingerprint(),
        };
        write_private(&place.pid_file(&self.service), &serde_json::to_vec(&running)?)?;
        Ok(running)
    }
}

impl Running {
    /// The process that the service's pid file speaks of, if it is still there.
    pub(crate) fn find(place: &Place, service: &str) -> Option<Self> {
        let running = Self::recorded(place, service)?;
        running.is_alive().then_some(running)
    }

    /// What the pid file says, alive or not.
    pub(crate) fn recorded(place: &Place, service: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(place.pid_file(service)).ok()?).ok()
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.boot == boot_id() && start_ticks(self.pid) == Some(self.ticks)
    }

    /// Whether it was started exactly as `job` would start it now.
    pub(crate) fn follows(&self, job: &Job) -> bool {
        self.job == job.fingerprint()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if self.is_alive() {
            signal_pid(self.pid, signal);
        }
    }

    /// Wait until `ready` says so. An early death or the deadline is an error that shows the log's end.
    pub(crate) fn wait_until(
        &self,
        place: &Place,
        service: &str,
        deadline: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            if ready() {
                return Ok(());
            }
            let log = place.log(service);
            if !self.is_alive() {
                bail!(
                    "{service} ended right after its start. The end of {}:\n{}",
                    log.display(),
                    tail(&log, 15)
                );
            }
            if began.elapsed() > deadline {
                bail!(
                    "{service} was not ready within {} s. The end of {}:\n{}",
                    deadline.as_secs(),
                    log.display(),
                    tail(&log, 15)
                );
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

/// How to ask a service to end: each signal and how long to wait before the next. SIGKILL comes last by
/// itself.
pub(crate) type Farewell = &'static [(Signal, Duration)];

/// Stop a service if it runs. Says whether it did.
pub(crate) fn stop(place: &Place, service: &str, farewell: Farewell) -> Result<bool> {
    let running = Running::find(place, service);
    if let Some(running) = &running {
        for (signal, patience) in farewell {
            running.signal(*signal);
            if gone_within(running, *patience) {
                break;
            }
        }
        running.signal(Signal::KILL);
        if !gone_within(running, Duration::from_secs(10)) {
            bail!(
                "{service} (pid {}) does not even obey SIGKILL: look at it with `ps -o stat,wchan {}`",
                running.pid,
                running.pid
            );
        }
    }
    match fs::remove_file(place.pid_file(service)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the pid file of {service}"))
        }
        _ => Ok(running.is_some()),
    }
}

pub(crate) fn gone_within(running: &Running, patience: Duration) -> bool {
    let began = Instant::now();
    while running.is_alive() {
        if began.elapsed() > patience {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
    true
}

/// Processes that carry this stack's mark without being in its books, because the books were deleted or
/// we were killed between starting them and writing them down.
pub(crate) fn strays(place: &Place) -> Vec<(String, i32)> {
    let prefix = format!("{MARK}={}:", place.dir.display()).into_bytes();
    let marked: Vec<(String, i32)> = pids()
        .filter_map(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mark = environ
                .split(|byte| *byte == 0)
                .find_map(|each| each.strip_prefix(&prefix[..]))?;
            Some((String::from_utf8_lossy(mark).into_owned(), pid))
        })
        .collect();
    let marked_pids: Vec<i32> = marked.iter().map(|(_, pid)| *pid).collect();
    marked
        .into_iter()
        .filter(|(service, pid)| {
            let child_of_marked = parent(*pid).is_some_and(|parent| marked_pids.contains(&parent));
            let in_books = Running::find(place, service).is_some_and(|running| running.pid == *pid);
            !child_of_marked && !in_books && start_ticks(*pid).is_some()
        })
        .collect()
}

/// End processes that nobody keeps books about.
pub(crate) fn end(pids: &[i32]) {
    for (signal, patience) in [(Signal::INT, 3000), (Signal::KILL, 5000)] {
        let began = Instant::now();
        pids.iter()
            .filter(|pid| start_ticks(**pid).is_some())
            .for_each(|pid| signal_pid(*pid, signal));
        while pids.iter().any(|pid| start_ticks(*pid).is_some()) {
            if began.elapsed() > Duration::from_millis(patience) {
                break;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

/// Every process that we may look at.
pub(crate) fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Our own variables of locale and language would change what the tools print and how they sort, and
/// those of PostgreSQL where they look. A service gets what it needs to be found and to find things.
pub(crate) fn clean_env(command: &mut Command) {
    command
        .env_clear()
        .env("LANG", "C.UTF-8")
        .env("PATH", super::programs::search_path());
    if let Some(home) = std::env::var_os("HOME") {
        command.env("HOME", home);
    }
}

/// The last lines of a log.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Thousands of connections need as many files. The soft limit is ours to raise and children inherit it.
pub(crate) fn raise_file_limit() -> u64 {
    const ENOUGH: u64 = 65_536;
    let limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    );
    let wanted = hard.min(ENOUGH);
    if soft < wanted {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum: limit.maximum,
            },
        );
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn open_log(path: &Path) -> Result<File> {
    if path.metadata().is_ok_and(|log| log.len() > LOG_LIMIT) {
        let _ = fs::rename(path, path.with_extension("log.old"));
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// The mark of a service of this stack.
pub(crate) fn mark(place: &Place, service: &str) -> String {
    format!("{}:{service}", place.dir.display())
}

pub(crate) fn signal_pid(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// The fields of /proc/<pid>/stat after the name, which may itself contain spaces and brackets.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(
        text[text.rfind(')')? + 1..]
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    )
}

/// When the process started; `None` when there is none, or only a zombie that awaits its parent.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = stat(pid)?;
    if matches!(stat.first()?.as_str(), "Z" | "X") {
        return None;
    }
    stat.get(19)?.parse().ok()
}

fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.get(1)?.parse().ok()
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
