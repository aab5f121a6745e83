//! Who PostgreSQL runs as. It refuses root, so root lends it somebody with fewer rights.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// An unprivileged user of this machine.
#[derive(Clone, Debug)]
pub(crate) struct OsUser {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whom PostgreSQL must run as: nobody in particular, unless we are root.
pub(crate) fn for_postgres() -> Result<Option<OsUser>> {
    if !is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    for name in ["postgres", "nobody"] {
        if let Some(user) = passwd
            .lines()
            .find_map(|line| parse(line).filter(|user| user.name == name))
        {
            return Ok(Some(user));
        }
    }
    bail!(
        "PostgreSQL refuses to run as root and this machine has neither a user `postgres` nor `nobody`: \
         create one with `useradd --system postgres`"
    )
}

impl OsUser {
    /// Whether this user gets through to `dir`.
    pub(crate) fn can_enter(&self, dir: &Path) -> bool {
        let status = Command::new("sh")
            .args(["-c", "cd \"$1\"", "sh"])
            .arg(dir)
            .uid(self.uid)
            .gid(self.gid)
            .current_dir("/")
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }
}

/// A line of /etc/passwd: name, password, uid, gid, …
fn parse(line: &str) -> Option<OsUser> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(OsUser { name, uid, gid })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_line_of_passwd() {
        let user = parse("postgres:x:105:113:PostgreSQL:/var/lib/postgresql:/bin/bash").expect("valid");
        assert_eq!((user.name.as_str(), user.uid, user.gid), ("postgres", 105, 113));
        assert!(parse("broken:x").is_none());
    }
}
