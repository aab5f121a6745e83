//! Keep images in the object storage, so that nothing half-made stays there: each key is written down as one to be removed before
//! its object is stored, and taken off that list by the transaction that begins to refer to it.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::future::try_join_all;
use rand::RngCore;

use super::{
    admission::Place,
    drawing::{self, Drawn, Kind},
    store,
};
use crate::{db::Tx, error::Result, features::Backend};

/// Longer than any request lasts, its attempts to store included. After that, whatever nobody refers to is removed.
const TO_BE_CLAIMED: Duration = Duration::from_secs(15 * 60);

/// Objects that are stored and that nobody refers to yet.
#[derive(Debug)]
pub struct Kept {
    keys: Vec<String>,
}

impl Kept {
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The key of the first.
    pub fn key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }

    /// From this transaction on, somebody refers to them.
    pub async fn claim(&self, tx: &mut Tx) -> Result<()> {
        store::claim(tx, &self.keys).await
    }
}

/// Keep these files, each under a key that cannot be guessed and says nothing of the others.
pub(super) async fn keep(backend: &Backend, files: Vec<Drawn>) -> Result<Kept> {
    // It may have gone away while we drew.
    backend.blobs.expect_it_there()?;
    let keys: Vec<String> = files.iter().map(|file| new_key(file.kind)).collect();
    let mut tx = backend.begin().await?;
    store::write_down(&mut tx, &keys, backend.clock.after(TO_BE_CLAIMED)).await?;
    tx.commit().await?;
    let stored = keys.iter().zip(files).map(async |(key, file)| {
        backend
            .blobs
            .put(key, file.kind.mime(), Bytes::from(file.bytes))
            .await
    });
    try_join_all(stored).await?;
    Ok(Kept { keys })
}

/// Keep the middle of a picture as a small square: for people and groups.
pub async fn keep_thumbnail(backend: &Backend, place: Place, file: Bytes) -> Result<Kept> {
    let drawn = backend
        .darkroom
        .develop(move || drawing::thumbnail(&file))
        .await?;
    let kept = keep(backend, vec![drawn]).await;
    drop(place);
    kept
}

fn new_key(kind: Kind) -> String {
    let mut random = [0; 24];
    rand::rng().fill_bytes(&mut random);
    format!("{}.{}", URL_SAFE_NO_PAD.encode(random), kind.extension())
}
