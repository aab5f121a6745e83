//! Where a stack lives: one directory that holds all of it, so that "delete the directory" and "reset"
//! mean the same thing, and so that tests can have a stack of their own elsewhere.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The directory of one stack, and the workspace it was started from.
#[derive(Clone, Debug)]
pub struct Place {
    pub workspace: PathBuf,
    pub dir: PathBuf,
}

impl Place {
    /// The stack in `dir`, or in `.dev/` of the workspace.
    pub fn find(dir: Option<PathBuf>) -> Result<Self> {
        let workspace = workspace()?;
        let dir = dir.unwrap_or_else(|| workspace.join(".dev"));
        Self::at(workspace, &dir)
    }

    /// The private services of the test runs: a stack of their own inside this one, with the same rules.
    pub fn tests(&self) -> Result<Self> {
        Self::at(self.workspace.clone(), &self.dir.join("test"))
    }

    /// The private services of a fault run.
    pub fn faults(&self) -> Result<Self> {
        Self::at(self.workspace.clone(), &self.dir.join("faults"))
    }

    fn at(workspace: PathBuf, dir: &Path) -> Result<Self> {
        let create = || -> std::io::Result<PathBuf> {
            for each in [dir, &dir.join("run"), &dir.join("logs")] {
                fs::create_dir_all(each)?;
            }
            // PostgreSQL may run as somebody else and must find its way through, whatever our umask is.
            if dir.metadata()?.permissions().mode() & 0o755 != 0o755 {
                fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
            }
            dir.canonicalize()
        };
        let dir = create().with_context(|| {
            let dir = dir.display();
            format!("cannot use {dir}. If it is from a run as root: sudo chown -R \"$(id -un)\" {dir}")
        })?;
        Ok(Self { workspace, dir })
    }

    pub fn log(&self, service: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{service}.log"))
    }

    pub(crate) fn pid_file(&self, service: &str) -> PathBuf {
        self.dir.join("run").join(format!("{service}.pid"))
    }

    /// A path as people want to read it: relative to where they stand when it is below.
    pub(crate) fn short(&self, path: &Path) -> String {
        let here = env::current_dir().unwrap_or_default();
        path.strip_prefix(&here).unwrap_or(path).display().to_string()
    }
}

/// The workspace, found upwards from the package that cargo runs us for, or from where we stand.
fn workspace() -> Result<PathBuf> {
    let starts = [
        env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from),
        env::current_dir().ok(),
    ];
    for start in starts.iter().flatten() {
        if let Some(found) = start.ancestors().find(|dir| is_workspace(dir)) {
            return Ok(found.to_owned());
        }
    }
    bail!("this is not inside the messenger's workspace: change into the clone and try again")
}

fn is_workspace(dir: &Path) -> bool {
    dir.join("tools/Cargo.toml").is_file() && dir.join("gateway/Cargo.toml").is_file()
}
