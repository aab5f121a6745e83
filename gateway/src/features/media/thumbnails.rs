//! Making small pictures of large ones, without trusting them.
//!
//! What a file is, its first bytes say, not its name. Its size is read from its header and judged before anything is decoded;
//! decoding has a memory limit and few threads. The result is drawn anew, so nothing of the file but the picture survives: no
//! place where it was taken, no script behind its end.

use std::{io::Cursor, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
    imageops::FilterType,
};
use shared::problem::Reason;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

const FORMATS: [ImageFormat; 4] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::Gif,
    ImageFormat::WebP,
];
const SIDE: u32 = 300;
const LARGEST_SIDE: u32 = 4_096;
const MEMORY: u64 = 256 * 1024 * 1024;
const QUALITY: u8 = 80;
/// Files that are decoded or wait for it.
const WAITING: usize = 16;

/// The threads that pictures are decoded on: half the cores, so that the others stay free for messages.
#[derive(Clone, Debug)]
pub struct Thumbnails {
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Thumbnails {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        Self {
            places: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }
}

/// A picture that we drew ourselves.
#[derive(Debug)]
pub struct Drawn {
    pub bytes: Vec<u8>,
    pub content_type: &'static str,
    pub extension: &'static str,
}

impl Thumbnails {
    /// The middle of the picture as a square of 300 pixels, upright.
    pub async fn square(&self, file: Bytes) -> Result<Drawn> {
        // Whoever waits holds a file of up to 10 MiB in memory, so not everybody may.
        let waiting = self
            .waiting
            .clone()
            .try_acquire_owned()
            .map_err(|_| Error::TooMany {
                reason: Reason::Busy,
                retry_after: Duration::from_secs(2),
                limit: None,
            })?;
        let place = self
            .places
            .clone()
            .acquire_owned()
            .await
            .map_err(Error::internal)?;
        let work = move || {
            let drawn = square(&file);
            drop((place, waiting));
            drawn
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
    }
}

fn square(file: &[u8]) -> Result<Drawn> {
    let unsupported = || Error::Unsupported("Only JPEG, PNG, GIF and WebP images are supported.".into());
    let format = image::guess_format(file).map_err(|_| unsupported())?;
    if !FORMATS.contains(&format) {
        return Err(unsupported());
    }
    let broken = |_| Error::invalid("avatar", "is damaged");
    let mut decoder = ImageReader::with_format(Cursor::new(file), format)
        .into_decoder()
        .map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if width > LARGEST_SIDE || height > LARGEST_SIDE {
        return Err(Error::invalid(
            "image",
            format!("must not have more than {LARGEST_SIDE} pixels a side"),
        ));
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MEMORY);
    decoder.set_limits(limits).map_err(broken)?;
    let orientation = decoder.orientation().map_err(broken)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    // The square first: to scale a long thin picture to the height of a square would make it enormous. And small before upright:
    // turning a small picture is cheap.
    let side = width.min(height);
    picture = picture.crop_imm((width - side) / 2, (height - side) / 2, side, side);
    picture = picture.resize_exact(SIDE, SIDE, FilterType::CatmullRom);
    picture.apply_orientation(orientation);

    let mut bytes = Vec::new();
    if picture.color().has_alpha() {
        picture
            .to_rgba8()
            .write_with_encoder(PngEncoder::new(&mut bytes))
            .map_err(Error::internal)?;
        return Ok(Drawn {
            bytes,
            content_type: "image/png",
            extension: "png",
        });
    }
    picture
        .to_rgb8()
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
        .map_err(Error::internal)?;
    Ok(Drawn {
        bytes,
        content_type: "image/jpeg",
        extension: "jpg",
    })
}
