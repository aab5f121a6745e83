//! Fetch an image by its address. Whoever knows the address may: it cannot be guessed, and images are shown without headers.

use std::fmt;

use super::{blobs::Found, drawing::Kind};
use crate::{
    error::{Error, Result},
    features::Backend,
};

/// What is kept under an address never changes.
pub const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A part of an image, in bytes from its beginning or, for the last ones, its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Between(first, last) => write!(f, "bytes={first}-{last}"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

/// What an image with this key would be. Our keys look like nothing else, so nothing else reaches the storage.
pub fn kind_of(key: &str) -> Result<Kind> {
    let is_ours = (20..=80).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    Kind::of_name(key)
        .filter(|_| is_ours)
        .ok_or(Error::NotFound("image"))
}

pub async fn fetch(backend: &Backend, key: &str, part: Option<Part>) -> Result<Found> {
    kind_of(key)?;
    backend.blobs.get(key, part).await
}

/// How many bytes it has.
pub async fn size(backend: &Backend, key: &str) -> Result<u64> {
    kind_of(key)?;
    backend.blobs.size(key).await?.ok_or(Error::NotFound("image"))
}
