//! A private PostgreSQL: its own cluster on its own port, which never meets the one of the system.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::cluster::{Cluster, DATABASE, OWNER};
use super::os_user::{self, OsUser};
use super::place::Place;
use super::ports;
use super::process::{self, Farewell, Job, MARK, Running, clean_env};
use super::programs::{OLDEST_POSTGRES, PostgresBin, postgres_bins};
use super::psql;
use super::state::State;

pub(crate) const SERVICE: &str = "postgres";

/// SIGINT is PostgreSQL's "fast" shutdown, SIGQUIT its "immediate" one.
pub(crate) const FAREWELL: Farewell = &[
    (Signal::INT, Duration::from_secs(20)),
    (Signal::QUIT, Duration::from_secs(5)),
];

/// What the cluster is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Holds what a developer typed: as durable as in production.
    Dev,
    /// Holds what a test made up: as fast as possible, and thrown away when damaged.
    Tests,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) port: u16,
    pub(crate) major: u32,
    /// As the owner of the database, who may create databases but is no superuser, as in production.
    pub(crate) url: String,
    bin: PostgresBin,
    cluster: Cluster,
}

/// Make sure that it runs: adopt it, start it, or make it from nothing.
pub(crate) fn ensure(place: &Place, state: &mut State, purpose: Purpose) -> Result<Postgres> {
    let user = os_user::for_postgres()?;
    let base = super::cluster::base(place, user.as_ref())?;
    let bin = choose(&base)?;
    let cluster = match Cluster::load(&base) {
        Some(cluster) => cluster,
        None => {
            clear_away(place, &base)?;
            create(place, &bin, &base, user.as_ref(), purpose)?
        }
    };
    if let Some(postgres) = adopt(place, state, &bin, &cluster, &base, user.as_ref(), purpose) {
        return Ok(postgres);
    }
    match start(place, state, &bin, &cluster, &base, user.as_ref(), purpose) {
        Err(error)
            if purpose == Purpose::Tests && process::tail(&place.log(SERVICE), 30).contains("PANIC") =>
        {
            // Without fsync a crash of the machine may have damaged it, and nothing in it is worth mending.
            clear_away(place, &base)
                .and_then(|()| create(place, &bin, &base, user.as_ref(), purpose))
                .and_then(|cluster| start(place, state, &bin, &cluster, &base, user.as_ref(), purpose))
                .with_context(|| format!("the first attempt failed with: {error}"))
        }
        other => other,
    }
}

/// The programs to use: those of the version that made the data, otherwise the preferred ones.
fn choose(base: &Path) -> Result<PostgresBin> {
    let bins = postgres_bins();
    let data = fs::read_to_string(base.join("data/PG_VERSION")).ok();
    let made_by: Option<u32> = data
        .filter(|_| Cluster::load(base).is_some())
        .and_then(|text| text.trim().parse().ok());
    if let Some(major) = made_by {
        return bins.into_iter().find(|bin| bin.major == major).with_context(|| {
            format!(
                "the data in {} was made by PostgreSQL {major}, which is not installed (any more): \
                 `apt-get install postgresql-{major}` keeps it, `cargo dev reset` gives it up",
                base.display()
            )
        });
    }
    bins.into_iter().find(|bin| bin.major >= OLDEST_POSTGRES).with_context(|| {
        format!("PostgreSQL {OLDEST_POSTGRES} or newer is not installed: `cargo dev up` can install it, or set PGBIN")
    })
}

fn create(
    place: &Place,
    bin: &PostgresBin,
    base: &Path,
    user: Option<&OsUser>,
    purpose: Purpose,
) -> Result<Cluster> {
    let data = base.join("data");
    if data.exists() {
        fs::remove_dir_all(&data)
            .with_context(|| format!("cannot remove the half-made {}", data.display()))?;
    }
    let cluster = Cluster::invent();
    let password = base.join("password");
    fs::create_dir(&data)?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
    super::state::write_private(&password, cluster.admin_password.as_bytes())?;
    if let Some(user) = user {
        for path in [&data, &password] {
            chown(path, Some(user.uid), Some(user.gid))
                .with_context(|| format!("cannot give {} to {}", path.display(), user.name))?;
        }
    }
    let initdb = |locale: &str| -> Result<Output> {
        let mut command = Command::new(bin.dir.join("initdb"));
        clean_env(&mut command);
        // Marked, because it goes on when we are killed, and the next run must not work beside it.
        command.env(MARK, process::mark(place, SERVICE));
        command
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8"]);
        command
            .arg(format!("--locale={locale}"))
            .arg("--pwfile")
            .arg(&password)
            .current_dir(base);
        if purpose == Purpose::Tests {
            command.arg("--no-sync");
        }
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
        command.output().context("cannot run initdb")
    };
    let mut output = initdb("C.UTF-8")?;
    if !output.status.success() {
        output = initdb("C")?;
    }
    if !output.status.success() {
        bail!(
            "initdb failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let _ = fs::remove_file(&password);
    cluster.save(base)?;
    Ok(cluster)
}

/// The server as we would start it on the port we remember, if exactly that is running and answering.
fn adopt(
    place: &Place,
    state: &State,
    bin: &PostgresBin,
    cluster: &Cluster,
    base: &Path,
    user: Option<&OsUser>,
    purpose: Purpose,
) -> Option<Postgres> {
    let port = *state.ports.get(SERVICE)?;
    let running = Running::find(place, SERVICE)?;
    let alright = running.follows(&job(bin, base, user, purpose, port)) && is_well(port);
    let mut postgres = alright.then(|| postgres(port, bin, cluster))?;
    postgres.furnish(base).is_ok().then_some(postgres)
}

fn start(
    place: &Place,
    state: &mut State,
    bin: &PostgresBin,
    cluster: &Cluster,
    base: &Path,
    user: Option<&OsUser>,
    purpose: Purpose,
) -> Result<Postgres> {
    clear_away(place, base)?;
    let port = ports::for_service(place, state, SERVICE)?;
    let running = job(bin, base, user, purpose, port).start(place)?;
    running.wait_until(place, SERVICE, Duration::from_secs(60), || is_ready(bin, port))?;
    let mut postgres = postgres(port, bin, cluster);
    postgres.furnish(base)?;
    if purpose == Purpose::Tests {
        postgres.sweep()?;
    }
    Ok(postgres)
}

fn postgres(port: u16, bin: &PostgresBin, cluster: &Cluster) -> Postgres {
    let url = format!(
        "postgres://{OWNER}:{}@127.0.0.1:{port}/{DATABASE}",
        cluster.password
    );
    Postgres {
        port,
        major: bin.major,
        url,
        bin: bin.clone(),
        cluster: cluster.clone(),
    }
}

fn job(bin: &PostgresBin, base: &Path, user: Option<&OsUser>, purpose: Purpose, port: u16) -> Job {
    let data = base.join("data");
    let mut settings = vec![
        "listen_addresses=127.0.0.1",
        // A socket's path may have 107 bytes, a clone's path any number of them.
        "unix_socket_directories=",
        "max_connections=200",
        "timezone=UTC",
        "log_timezone=UTC",
    ];
    if purpose == Purpose::Tests {
        settings.extend([
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=400",
        ]);
    }
    let mut job = Job::new(SERVICE, bin.dir.join("postgres"), &data)
        .args([
            "-D".into(),
            data.into_os_string(),
            "-p".into(),
            port.to_string().into(),
        ])
        .args(settings.iter().flat_map(|setting| ["-c", setting]));
    job.user = user.cloned();
    job
}

/// Whatever still runs on this data, with or without our knowing, ends now, and its traces go.
///
/// After a `kill -9` of the postmaster its children live on for a moment, and PostgreSQL refuses to start
/// beside them. And `postmaster.pid` may name a pid that somebody else has by now.
fn clear_away(place: &Place, base: &Path) -> Result<()> {
    process::stop(place, SERVICE, FAREWELL)?;
    let strays = process::strays(place);
    process::end(
        &strays
            .iter()
            .filter(|(name, _)| name == SERVICE)
            .map(|(_, pid)| *pid)
            .collect::<Vec<_>>(),
    );
    let data = base.join("data");
    for _ in 0..300 {
        if servers_in(&data).is_empty() {
            break;
        }
        sleep(Duration::from_millis(10));
    }
    process::end(&servers_in(&data));
    match fs::remove_file(data.join("postmaster.pid")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("a stale postmaster.pid stays")
        }
        _ => Ok(()),
    }
}

/// PostgreSQL's processes sit in their data directory.
fn servers_in(data: &Path) -> Vec<i32> {
    let deleted = PathBuf::from(format!("{} (deleted)", data.display()));
    process::pids()
        .filter(|pid| {
            let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let at_home = [data, &deleted].contains(&link("cwd").as_path());
            at_home
                && link("exe")
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("postgres"))
        })
        .collect()
}

/// Send a signal to the server and all that work for it, the server first: nobody new is born meanwhile.
pub(crate) fn signal_all(place: &Place, signal: Signal) -> Result<()> {
    let base = super::cluster::base(place, os_user::for_postgres()?.as_ref())?;
    let server = Running::find(place, SERVICE).context("PostgreSQL does not run")?;
    server.signal(signal);
    for pid in servers_in(&base.join("data")) {
        process::signal_pid(pid, signal);
    }
    Ok(())
}

/// The postmaster is awake: it says whether it speaks TLS, which is the first thing that clients ask.
pub(crate) fn is_well(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let patience = Duration::from_secs(2);
        let mut stream =
            TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        Ok(matches!(&answer, b"S" | b"N"))
    };
    ask().unwrap_or(false)
}

fn is_ready(bin: &PostgresBin, port: u16) -> bool {
    let mut command = Command::new(bin.dir.join("pg_isready"));
    clean_env(&mut command);
    let output = command
        .args(["-q", "-h", "127.0.0.1", "-t", "2", "-p", &port.to_string()])
        .output();
    output.is_ok_and(|output| output.status.success())
}

impl Postgres {
    /// The same server, another database.
    pub(crate) fn url_of(&self, database: &str) -> String {
        format!(
            "postgres://{OWNER}:{}@127.0.0.1:{}/{database}",
            self.cluster.password, self.port
        )
    }

    /// Role and database; what is there already stays.
    fn furnish(&mut self, base: &Path) -> Result<()> {
        if self.cluster.furnished {
            return Ok(());
        }
        let password = &self.cluster.password;
        let sql = format!(
            "SELECT 'CREATE ROLE {OWNER}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{OWNER}') \\gexec\n\
             ALTER ROLE {OWNER} LOGIN CREATEDB PASSWORD '{password}';\n\
             SELECT 'CREATE DATABASE {DATABASE} OWNER {OWNER}' \
             WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec\n"
        );
        self.psql("postgres", &self.cluster.admin_password, "postgres", &sql)
            .context("cannot create the role and the database")?;
        self.cluster.furnished = true;
        self.cluster.save(base)
    }

    /// An empty database, whoever is in the one that was there: only the administrator may send autovacuum away.
    pub(crate) fn begin_anew(&self, database: &str) -> Result<()> {
        let sql = format!(
            "DROP DATABASE IF EXISTS {database} WITH (FORCE);\nCREATE DATABASE {database} OWNER {OWNER};\n"
        );
        self.psql("postgres", &self.cluster.admin_password, "postgres", &sql)
            .context("cannot make the database anew")?;
        Ok(())
    }

    /// Drop what killed tests have left behind. Only for a server that nobody knows yet.
    fn sweep(&self) -> Result<()> {
        let sql = format!(
            "SELECT format('DROP DATABASE %I', datname) FROM pg_database \
             WHERE NOT datistemplate AND datname NOT IN ('postgres', '{DATABASE}') \\gexec"
        );
        self.psql("postgres", &self.cluster.admin_password, "postgres", &sql)
            .context("cannot drop old databases")?;
        Ok(())
    }

    /// One of the programs that came with this server, logged in to a database as its owner.
    pub(crate) fn client(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(self.bin.dir.join(program));
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", OWNER)
            .env("PGPASSWORD", &self.cluster.password)
            .env("PGDATABASE", database);
        command
    }

    /// Run SQL in a database of this server, as its owner, and take what psql prints.
    pub(crate) fn run_in(&self, database: &str, sql: &str) -> Result<String> {
        self.psql(OWNER, &self.cluster.password, database, sql)
    }

    fn psql(&self, user: &str, password: &str, database: &str, sql: &str) -> Result<String> {
        psql::Login {
            program: &self.bin.dir.join("psql"),
            host: "127.0.0.1",
            port: self.port,
            user,
            password,
            database,
        }
        .run(sql)
    }
}
