//! What a stack remembers between two runs: the ports it chose and the secrets it made up.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::place::Place;

/// The content of `state.json`. A missing or damaged file is an empty one: everything in it can be
/// chosen anew.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct State {
    pub(crate) ports: BTreeMap<String, u16>,
    /// The port that somebody asked for with `--port`, as opposed to one that happened to be free.
    pub(crate) asked_port: Option<u16>,
    pub(crate) jwt_secret: Option<String>,
    pub(crate) guide: Option<Guide>,
}

/// The person that everybody can talk to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Guide {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) password: String,
}

impl State {
    pub(crate) fn load(place: &Place) -> Self {
        fs::read(path(place))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    pub(crate) fn save(&self, place: &Place) -> Result<()> {
        write_private(&path(place), &serde_json::to_vec_pretty(self)?)
    }

    pub(crate) fn jwt_secret(&mut self) -> String {
        self.jwt_secret.get_or_insert_with(secret).clone()
    }
}

pub(crate) fn path(place: &Place) -> PathBuf {
    place.dir.join("state.json")
}

/// 244 random bits as letters and digits that need no quoting anywhere.
pub(crate) fn secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Replace a file in one step, readable for its owner only: a kill leaves the old one or the new one.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
