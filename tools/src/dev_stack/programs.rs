//! Finding the programs that the stack is made of, also where Debian hides them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `$PATH` and the places that a plain user's `$PATH` leaves out.
pub(crate) fn search_path() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let more = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ]
    .map(PathBuf::from);
    let mut dirs: Vec<PathBuf> = env::split_paths(&own).filter(|dir| dir.is_absolute()).collect();
    for dir in more {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    env::join_paths(dirs).unwrap_or(own)
}

/// Where a program is, if it is installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&search_path())
        .map(|dir| dir.join(name))
        .find(|path| is_executable(path))
}

/// The first line that a program prints about its version.
pub(crate) fn version(program: &Path, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().next()?.trim().to_owned())
}

/// One installed version of PostgreSQL's server programs.
#[derive(Clone, Debug)]
pub(crate) struct PostgresBin {
    pub(crate) dir: PathBuf,
    pub(crate) major: u32,
}

/// The oldest PostgreSQL with everything that the gateway uses.
pub(crate) const OLDEST_POSTGRES: u32 = 14;

/// All of them, the preferred one first: `$PGBIN`, then what `pg_config` names, then Debian's
/// directories with the newest first, then `$PATH`.
pub(crate) fn postgres_bins() -> Vec<PostgresBin> {
    let mut dirs: Vec<PathBuf> = env::var_os("PGBIN").map(PathBuf::from).into_iter().collect();
    if let Some(pg_config) = find("pg_config") {
        dirs.extend(version(&pg_config, "--bindir").map(PathBuf::from));
    }
    let mut versioned: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versioned.sort_unstable_by(|a, b| b.cmp(a));
    dirs.extend(versioned.into_iter().map(|(_, dir)| dir));
    dirs.extend(find("postgres").and_then(|path| path.parent().map(Path::to_owned)));

    let mut found: Vec<PostgresBin> = Vec::new();
    for dir in dirs {
        let complete = ["postgres", "initdb", "psql", "pg_isready"]
            .iter()
            .all(|name| is_executable(&dir.join(name)));
        if complete
            && !found.iter().any(|bin| bin.dir == dir)
            && let Some(major) = major_of(&dir)
        {
            found.push(PostgresBin { dir, major });
        }
    }
    found
}

/// Debian names the directory after the version; elsewhere the program says it.
fn major_of(dir: &Path) -> Option<u32> {
    let by_name = dir
        .strip_prefix("/usr/lib/postgresql")
        .ok()
        .and_then(|rest| rest.iter().next()?.to_str()?.parse().ok());
    by_name.or_else(|| {
        version(&dir.join("postgres"), "--version")
            .as_deref()
            .and_then(major)
    })
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` → 15
fn major(version: &str) -> Option<u32> {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("nothing"), None);
    }
}
