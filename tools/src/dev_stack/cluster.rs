//! The home of a PostgreSQL cluster: where its files are, when they count as complete, and the passwords
//! that belong to them.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::os_user::OsUser;
use super::place::Place;
use super::state::{secret, write_private};

/// The database of the messenger, and who owns it.
pub(crate) const DATABASE: &str = "messenger";
pub(crate) const OWNER: &str = "messenger";

/// The content of `cluster.json`, written last when a cluster is made: without it the data beside it is
/// half-made. The passwords lie here because they live and die with the data.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Cluster {
    pub(crate) admin_password: String,
    pub(crate) password: String,
    /// Whether role and database are there.
    #[serde(default)]
    pub(crate) furnished: bool,
}

impl Cluster {
    pub(crate) fn invent() -> Self {
        Self {
            admin_password: secret(),
            password: secret(),
            furnished: false,
        }
    }

    pub(crate) fn load(base: &Path) -> Option<Self> {
        let complete = base.join("data/PG_VERSION").exists();
        serde_json::from_slice(&fs::read(base.join("cluster.json")).ok()?)
            .ok()
            .filter(|_| complete)
    }

    pub(crate) fn save(&self, base: &Path) -> Result<()> {
        write_private(&base.join("cluster.json"), &serde_json::to_vec(self)?)
    }
}

/// The address of the database in a cluster that was made earlier.
pub(crate) fn url(place: &Place, port: u16) -> Result<String> {
    let cluster = Cluster::load(&place.dir.join("postgres"))
        .context("there is no database that we may read: run `cargo dev up` first, as the same user")?;
    Ok(format!(
        "postgres://{OWNER}:{}@127.0.0.1:{port}/{DATABASE}",
        cluster.password
    ))
}

/// The directory of the cluster: `postgres/` of the stack, which may be a link to [`elsewhere`].
pub(crate) fn base(place: &Place, user: Option<&OsUser>) -> Result<PathBuf> {
    let home = place.dir.join("postgres");
    if let Ok(target) = fs::read_link(&home) {
        if target.is_dir() {
            return Ok(target);
        }
        fs::remove_file(&home)?;
    }
    if home.is_dir() {
        match user {
            Some(user) => give(&home, user)?,
            None if home.metadata()?.uid() != rustix::process::geteuid().as_raw() => {
                let dir = place.dir.display();
                anyhow::bail!("the data is from a run as root: sudo chown -R \"$(id -un)\" {dir}");
            }
            None => {}
        }
        if user.is_none_or(|user| user.can_enter(&home)) {
            return Ok(home);
        }
        if Cluster::load(&home).is_some() {
            anyhow::bail!(
                "{} cannot get into {}: make the directories above it passable (`chmod o+x`), or `cargo dev reset`",
                user.map_or("PostgreSQL", |user| &user.name),
                home.display()
            );
        }
        // Nothing in it counts, so it may as well begin elsewhere.
        fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))?;
    }
    match user {
        Some(user) if !user.can_enter(&place.dir) => {
            let away = elsewhere(place);
            if away.exists() {
                // No link leads here any more: somebody deleted the stack's directory, and meant it.
                fs::remove_dir_all(&away).with_context(|| format!("cannot remove {}", away.display()))?;
            }
            make(&away, Some(user))?;
            symlink(&away, &home)?;
            Ok(away)
        }
        _ => {
            make(&home, user)?;
            Ok(home)
        }
    }
}

/// Where the data goes when its user cannot reach the stack's directory, as in a clone below /root.
pub(crate) fn elsewhere(place: &Place) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    place.dir.hash(&mut hasher);
    PathBuf::from(format!("/var/tmp/messenger-dev-{:016x}", hasher.finish()))
}

fn make(dir: &Path, user: Option<&OsUser>) -> Result<()> {
    fs::create_dir(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    user.map_or(Ok(()), |user| give(dir, user))
}

/// Everything in it belongs to this user, also when it was made by somebody who was not root.
fn give(dir: &Path, user: &OsUser) -> Result<()> {
    let belongs = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.uid() == user.uid);
    let data = dir.join("data");
    if belongs(dir) && (!data.exists() || belongs(&data)) {
        return Ok(());
    }
    give_all(dir, user).with_context(|| format!("cannot give {} to {}", dir.display(), user.name))
}

fn give_all(path: &Path, user: &OsUser) -> std::io::Result<()> {
    lchown(path, Some(user.uid), Some(user.gid))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            give_all(&entry?.path(), user)?;
        }
    }
    Ok(())
}
