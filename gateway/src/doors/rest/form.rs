//! Forms with images in them, read piece by piece. What cannot become an image that we take is refused as soon as its bytes say so.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::Limited;

use super::{Rest, extract::announced};
use crate::{
    error::{Error, Result},
    features::media::{FILE_BYTES, glimpse},
};

/// What a form adds to the files in it.
const OVERHEAD: usize = 64 * 1024;
/// Fields of a form that are looked at, ours or not.
const FIELDS: usize = 32;
/// All of a form has to arrive in this time, not counting what we do in between: the largest image at 1.4 Mbit/s.
const PATIENCE: Duration = Duration::from_secs(60);
/// Whoever sends nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(10);

/// A form with at most so many images. None of it has been read yet.
#[derive(Debug)]
pub struct Form<const FILES: usize> {
    fields: Multipart,
    announced: Option<u64>,
    patience: Duration,
    fields_seen: usize,
    files_seen: usize,
}

/// A file in a form, complete.
#[derive(Debug)]
pub struct File {
    /// What its sender calls it.
    pub name: Option<String>,
    pub bytes: Bytes,
}

impl<const FILES: usize> FromRequest<Rest> for Form<FILES> {
    type Rejection = Error;

    async fn from_request(request: Request, rest: &Rest) -> Result<Self> {
        let limit = FILES * FILE_BYTES + OVERHEAD;
        let announced = announced(request.headers());
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let request = request.map(|body| Body::new(Limited::new(body, limit)));
        let fields = Multipart::from_request(request, rest)
            .await
            .map_err(|_| no_form())?;
        Ok(Self {
            fields,
            announced,
            patience: PATIENCE,
            fields_seen: 0,
            files_seen: 0,
        })
    }
}

impl<const FILES: usize> Form<FILES> {
    /// How many bytes its sender says that it has.
    pub fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// The one image, in the field of this name.
    pub async fn only_file(&mut self, name: &str) -> Result<Bytes> {
        let file = self.next_file(&[name]).await?;
        Ok(file.ok_or_else(|| Error::invalid(name, "is required"))?.bytes)
    }

    /// The next image in a field of one of these names, if there is one more.
    pub async fn next_file(&mut self, names: &[&str]) -> Result<Option<File>> {
        loop {
            let Some(field) = in_time(&mut self.patience, self.fields.next_field()).await? else {
                return Ok(None);
            };
            self.fields_seen += 1;
            if self.fields_seen > FIELDS {
                return Err(Error::invalid(
                    "body",
                    format!("must not have more than {FIELDS} fields"),
                ));
            }
            if !field.name().is_some_and(|name| names.contains(&name)) {
                continue;
            }
            self.files_seen += 1;
            if self.files_seen > FILES {
                return Err(Error::invalid(names[0], format!("must not be more than {FILES}")));
            }
            let expected = self.announced.and_then(|bytes| usize::try_from(bytes).ok());
            return read(field, &mut self.patience, expected.unwrap_or(0))
                .await
                .map(Some);
        }
    }
}

async fn read(mut field: Field<'_>, patience: &mut Duration, expected: usize) -> Result<File> {
    let name = field.file_name().map(str::to_owned);
    // In one piece from the beginning: growing would mean to have it twice for a moment.
    let mut bytes = Vec::with_capacity(expected.min(FILE_BYTES));
    let mut is_known = false;
    let mut next_look = 0;
    while let Some(piece) = in_time(patience, field.chunk()).await? {
        if bytes.len() + piece.len() > FILE_BYTES {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
        // A photograph may carry much before it says how large it is, so we look again only when twice as much has come.
        if !is_known && bytes.len() >= next_look {
            match glimpse(&bytes) {
                Ok(header) => is_known = header.is_some(),
                // Whether it is also too large is worth knowing: that may be all that its sender did wrong.
                Err(refused) if expected > FILE_BYTES => {
                    return Err(rest_is_too_large(field, patience, bytes.len())
                        .await?
                        .unwrap_or(refused.into()));
                }
                Err(refused) => return Err(refused.into()),
            }
            next_look = bytes.len() * 2;
        }
    }
    Ok(File {
        name,
        bytes: bytes.into(),
    })
}

/// Count what still comes, without keeping it.
async fn rest_is_too_large(
    mut field: Field<'_>,
    patience: &mut Duration,
    mut bytes: usize,
) -> Result<Option<Error>> {
    while let Some(piece) = in_time(patience, field.chunk()).await? {
        bytes += piece.len();
        if bytes > FILE_BYTES {
            return Ok(Some(too_large()));
        }
    }
    Ok(None)
}

/// Wait for the next piece of a form, as long as there is patience left.
async fn in_time<T>(
    patience: &mut Duration,
    piece: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T> {
    let asked = Instant::now();
    let piece = tokio::time::timeout(SILENCE.min(*patience), piece).await;
    *patience = patience.saturating_sub(asked.elapsed());
    let piece = piece.map_err(|_| Error::invalid("body", "did not arrive in time"))?;
    piece.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Error::invalid("body", "is not a complete form"),
    })
}

pub(super) fn too_large() -> Error {
    Error::TooLarge("The image must not be larger than 10 MiB.".into())
}

pub(super) fn no_form() -> Error {
    Error::Unsupported("Please send a form (Content-Type: multipart/form-data).".into())
}
