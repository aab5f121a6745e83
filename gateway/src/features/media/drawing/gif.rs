//! GIF, drawn anew frame by frame: the same colours, the same times, and nothing between the frames.

use std::{io::Cursor, num::NonZeroU64};

use gif::{ColorOutput, DecodeOptions, Encoder, MemoryLimit};
use image::codecs::gif::GifDecoder;

use super::{MEMORY, Opened, Refused, header::LARGEST_SIDE};

/// A minute at twenty a second.
pub const FRAMES: usize = 1_200;
/// Pixels of all frames together: a minute as small as animations are, or ten seconds of 800 by 600 pixels. Some seconds of a core.
pub const FRAME_PIXELS: u64 = 100_000_000;

pub fn open(file: &[u8]) -> Result<Opened, Refused> {
    Opened::by(GifDecoder::new(Cursor::new(file))?)
}

/// The same animation, or the same still picture.
pub fn redrawn(file: &[u8]) -> Result<Vec<u8>, Refused> {
    look_through(file)?;
    let mut options = options();
    options.set_color_output(ColorOutput::Indexed);
    let mut decoder = options.read_info(file)?;
    let palette = decoder.global_palette().unwrap_or_default().to_vec();
    let mut encoder = Encoder::new(Vec::new(), decoder.width(), decoder.height(), &palette)?;
    encoder.set_repeat(decoder.repeat())?;
    let mut is_empty = true;
    while let Some(frame) = decoder.read_next_frame()? {
        // Whatever waits for a person to press a key waits for ever in a browser.
        let frame = gif::Frame {
            needs_user_input: false,
            interlaced: false,
            ..frame.clone()
        };
        encoder.write_frame(&frame)?;
        is_empty = false;
    }
    if is_empty {
        return Err(Refused::no_pixels());
    }
    Ok(encoder.into_inner()?)
}

/// Count frames and pixels without decoding any.
fn look_through(file: &[u8]) -> Result<(), Refused> {
    let mut options = options();
    options.skip_frame_decoding(true);
    let mut decoder = options.read_info(file)?;
    let (mut frames, mut pixels) = (0, 0);
    while let Some(frame) = decoder.next_frame_info()? {
        let (width, height) = (u32::from(frame.width), u32::from(frame.height));
        if width > LARGEST_SIDE || height > LARGEST_SIDE {
            return Err(Refused::TooLarge);
        }
        frames += 1;
        pixels += u64::from(width) * u64::from(height);
        if frames > FRAMES || pixels > FRAME_PIXELS {
            return Err(Refused::TooLong);
        }
    }
    Ok(())
}

fn options() -> DecodeOptions {
    let mut options = DecodeOptions::new();
    options
        .set_memory_limit(NonZeroU64::new(MEMORY as u64).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes));
    options
}

impl From<gif::DecodingError> for Refused {
    fn from(error: gif::DecodingError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<gif::EncodingError> for Refused {
    fn from(error: gif::EncodingError) -> Self {
        Self::Damaged(error.to_string())
    }
}
