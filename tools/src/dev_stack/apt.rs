//! What the stack needs from the system, and how it gets there: through apt when we may, otherwise by
//! telling exactly what to install.

use std::env;
use std::fs;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::os_user::is_root;
use super::programs::{OLDEST_POSTGRES, find, postgres_bins};
use super::progress::Progress;

/// A file that tells Debian's PostgreSQL package not to create and start a cluster of its own. It is
/// there only while we install.
const NO_SYSTEM_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/messenger-dev-stack.conf";

/// The Debian packages that are missing.
pub(crate) fn missing() -> Vec<&'static str> {
    let has_postgres = postgres_bins().iter().any(|bin| bin.major >= OLDEST_POSTGRES);
    let mut packages = Vec::new();
    if !has_postgres {
        packages.push("postgresql");
    }
    // curl is for the commands that `up` offers for pasting.
    for (program, package) in [
        ("redis-server", "redis-server"),
        ("haproxy", "haproxy"),
        ("curl", "curl"),
    ] {
        if find(program).is_none() {
            packages.push(package);
        }
    }
    packages
}

/// The line that installs these packages, for people.
pub(crate) fn line(packages: &[&str]) -> String {
    let sudo = if is_root() { "" } else { "sudo " };
    format!(
        "{sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Install what is missing, or say what to install.
pub(crate) fn ensure(progress: &Progress) -> Result<()> {
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    let Some(apt) = Apt::find(progress, &packages) else {
        bail!(
            "missing: {}. Install with:\n\n    {}\n",
            packages.join(", "),
            line(&packages)
        );
    };
    progress.say(&format!("installing {} (once per machine)", packages.join(", ")));
    // An installation that was cut off keeps every other one from beginning.
    apt.run(&["dpkg", "--configure", "-a"])?;
    if !apt.run(&["apt-get", "-q", "update"])? {
        progress.warn("apt-get update failed; trying with the package lists that are there");
    }
    apt.install(&packages)
        .with_context(|| format!("try it by hand:\n\n    {}\n", line(&packages)))?;
    let left = missing();
    if left.contains(&"postgresql") && !postgres_bins().is_empty() {
        bail!(
            "this release of the system has only an older PostgreSQL than {OLDEST_POSTGRES}: install a newer one \
             from https://wiki.postgresql.org/wiki/Apt and try again"
        );
    }
    if !left.is_empty() {
        bail!(
            "apt installed {}, but {} is still not to be found",
            packages.join(", "),
            left.join(", ")
        );
    }
    Ok(())
}

/// A way to run apt with the rights that it needs.
struct Apt {
    prefix: &'static [&'static str],
}

impl Apt {
    fn find(progress: &Progress, packages: &[&str]) -> Option<Self> {
        find("apt-get")?;
        if is_root() {
            return Some(Self { prefix: &[] });
        }
        find("sudo")?;
        let quiet = Command::new("sudo")
            .args(["-n", "true"])
            .stderr(Stdio::null())
            .status();
        if quiet.is_ok_and(|status| status.success()) {
            return Some(Self {
                prefix: &["sudo", "-n"],
            });
        }
        if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && env::var_os("CI").is_none() {
            progress.say(&format!(
                "sudo may ask for your password, to install {}",
                packages.join(", ")
            ));
            return Some(Self { prefix: &["sudo"] });
        }
        None
    }

    fn install(&self, packages: &[&str]) -> Result<()> {
        let with_postgres = packages.contains(&"postgresql");
        let guarded = with_postgres && !Path::new("/etc/postgresql-common").exists();
        if guarded {
            self.guard()?;
        }
        let installed = self.apt_install(packages);
        if guarded {
            self.run(&["rm", "-f", NO_SYSTEM_CLUSTER])?;
        }
        installed?;
        self.quieten(packages);
        Ok(())
    }

    /// Keep the package from making a system cluster on port 5432 that nobody asked for.
    fn guard(&self) -> Result<()> {
        self.apt_install(&["postgresql-common"])?;
        let text = format!(
            "mkdir -p \"$(dirname {NO_SYSTEM_CLUSTER})\" && echo create_main_cluster = false > {NO_SYSTEM_CLUSTER}"
        );
        self.run(&["sh", "-c", &text])?;
        Ok(())
    }

    fn apt_install(&self, packages: &[&str]) -> Result<()> {
        let mut args = vec![
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-q",
            "install",
            "-y",
        ];
        args.extend(["--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]);
        args.extend(packages);
        if !self.run(&args)? {
            bail!("apt-get could not install {}", packages.join(", "));
        }
        Ok(())
    }

    /// The packages start services of the system; the stack has its own and needs none of them. When one
    /// cannot be stopped it is in nobody's way either.
    fn quieten(&self, packages: &[&str]) {
        for service in packages
            .iter()
            .filter(|package| matches!(**package, "redis-server" | "haproxy"))
        {
            let _ = if Path::new("/run/systemd/system").exists() {
                self.run(&["systemctl", "disable", "--quiet", "--now", service])
            } else {
                self.run(&["invoke-rc.d", "--quiet", service, "stop"])
            };
        }
    }

    /// Run it with the terminal's output, and say whether it went well.
    fn run(&self, args: &[&str]) -> Result<bool> {
        let all: Vec<&str> = self.prefix.iter().chain(args).copied().collect();
        let (program, rest) = all.split_first().context("nothing to run")?;
        let stdin = if self.prefix == ["sudo"] {
            Stdio::inherit()
        } else {
            Stdio::null()
        };
        let status = Command::new(program)
            .args(rest)
            .stdin(stdin)
            .stdout(std::io::stderr())
            .status()
            .with_context(|| format!("cannot run {program}"))?;
        Ok(status.success())
    }
}

/// Whether this looks like a system with apt at all.
pub(crate) fn is_debian() -> bool {
    fs::metadata("/etc/debian_version").is_ok()
}
