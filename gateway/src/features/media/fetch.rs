//! Fetch an image by its address. Whoever knows the address may: it cannot be guessed, and images are shown without headers.

use super::blobs::Blob;
use crate::{
    error::{Error, Result},
    features::Backend,
};

pub async fn fetch(backend: &Backend, key: &str) -> Result<Blob> {
    // Our keys look like nothing else, so nothing else reaches the storage.
    let is_ours = (20..=80).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !is_ours {
        return Err(Error::NotFound("image"));
    }
    backend.blobs.get(key).await?.ok_or(Error::NotFound("image"))
}
