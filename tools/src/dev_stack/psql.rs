//! SQL by way of `psql`: a database driver would double the time that `cargo dev` takes to build itself.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use percent_encoding::percent_decode_str;

use super::process::clean_env;
use super::programs;

/// Whom to ask, and as whom.
pub(crate) struct Login<'a> {
    pub(crate) program: &'a Path,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) database: &'a str,
}

impl Login<'_> {
    /// Run a script, and take what psql prints.
    pub(crate) fn run(&self, sql: &str) -> Result<String> {
        let mut command = Command::new(self.program);
        clean_env(&mut command);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.host]);
        command.args(["-p", &self.port.to_string(), "-U", self.user]);
        command.args(["-d", self.database, "-f", "-"]);
        // By environment, because everybody on the machine can read a command line.
        command.env("PGPASSWORD", self.password).current_dir("/");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run psql")?;
        if let Some(mut stdin) = child.stdin.take() {
            // When psql gives up early, its own message says more than our broken pipe.
            let _ = stdin.write_all(sql.as_bytes());
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// The same, for whoever has only an address: `postgres://user:password@host:port/database`.
pub(crate) fn run(database_url: &str, sql: &str) -> Result<String> {
    let program = program().context("psql is not installed: `apt-get install postgresql-client`")?;
    let url: reqwest::Url = database_url
        .parse()
        .context("DATABASE_URL is not an address like postgres://user:password@host:5432/name")?;
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Login {
        program: &program,
        host: url.host_str().unwrap_or("127.0.0.1"),
        port: url.port().unwrap_or(5432),
        user: &plain(url.username()),
        password: &plain(url.password().unwrap_or_default()),
        database: &plain(url.path().trim_start_matches('/')),
    }
    .run(sql)
}

/// The one that belongs to the server which the stack would choose, or else whichever there is.
fn program() -> Option<PathBuf> {
    let beside_the_server = programs::postgres_bins().into_iter().next();
    beside_the_server
        .map(|bin| bin.dir.join("psql"))
        .or_else(|| programs::find("psql"))
}
