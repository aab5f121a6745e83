//! WebP: still pictures are drawn anew. Of animations, the frames are copied one by one into a file of our own; what their numbers
//! stand for is taken for granted.

use std::io::Cursor;

use image::{DynamicImage, codecs::webp::WebPDecoder};
use image_webp::WebPDecoder as Frames;
use webp::{Encoder, WebPConfig};

use super::{
    FINE, MEMORY, Opened, Refused,
    gif::{FRAME_PIXELS, FRAMES},
    header::LARGEST_SIDE,
};

pub fn open(file: &[u8]) -> Result<Opened, Refused> {
    Opened::by(WebPDecoder::new(Cursor::new(file))?)
}

/// A still picture as a file of the kind it was: without loss, if there was none.
pub fn redrawn(file: &[u8], picture: &DynamicImage) -> Result<Vec<u8>, Refused> {
    let mut frames = Frames::new(Cursor::new(file))?;
    if frames.is_lossy() {
        return file_of(picture, FINE);
    }
    let mut redrawn = Vec::new();
    let encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut redrawn);
    picture.write_with_encoder(encoder)?;
    Ok(redrawn)
}

/// A picture as a file. Transparency is kept without loss.
pub fn file_of(picture: &DynamicImage, quality: u8) -> Result<Vec<u8>, Refused> {
    let failed = || Refused::Damaged("it cannot be encoded".to_owned());
    let mut config = WebPConfig::new().map_err(|()| failed())?;
    config.quality = f32::from(quality);
    // A third of the time of the default, for a few per cent more bytes.
    config.method = 2;
    let (width, height) = (picture.width(), picture.height());
    let encoded = match picture {
        DynamicImage::ImageRgb8(rgb) => Encoder::from_rgb(rgb, width, height).encode_advanced(&config),
        DynamicImage::ImageRgba8(rgba) => Encoder::from_rgba(rgba, width, height).encode_advanced(&config),
        other if other.color().has_alpha() => {
            Encoder::from_rgba(&other.to_rgba8(), width, height).encode_advanced(&config)
        }
        other => Encoder::from_rgb(&other.to_rgb8(), width, height).encode_advanced(&config),
    };
    encoded.map(|file| file.to_vec()).map_err(|_| failed())
}

/// If it is an animation: the same one, without anything else. Every frame is decoded once, so what is copied are pictures.
pub fn animation(file: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
    let Some(cleaned) = cleaned(file)? else {
        return Ok(None);
    };
    let mut frames = Frames::new(Cursor::new(&cleaned))?;
    frames.set_memory_limit(MEMORY);
    let mut pixels = vec![0; frames.output_buffer_size().ok_or(Refused::TooLarge)?];
    for _ in 0..frames.num_frames() {
        frames.read_frame(&mut pixels)?;
    }
    Ok(Some(cleaned))
}

/// An animation of nothing but its canvas, its repetitions and its frames; nothing, if it is a still picture.
fn cleaned(file: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
    const ALPHA: u8 = 0x10;
    const ANIMATION: u8 = 0x02;
    let breaks_off = || Refused::Damaged("it breaks off".to_owned());
    let length = file
        .get(4..8)
        .and_then(|length| length.try_into().ok())
        .map(u32::from_le_bytes);
    let length = length
        .and_then(|length| usize::try_from(length).ok())
        .ok_or_else(breaks_off)?;
    // What lies behind the length that it claims is not of it.
    let mut chunks = Chunks {
        rest: file.get(12..8 + length).ok_or_else(breaks_off)?,
    };
    let Some((b"VP8X", canvas)) = chunks.next().transpose()? else {
        return Ok(None);
    };
    if canvas.len() != 10 || canvas[0] & ANIMATION == 0 {
        return Ok(None);
    }
    let mut cleaned = b"RIFF\0\0\0\0WEBP".to_vec();
    put(
        &mut cleaned,
        b"VP8X",
        &[&[canvas[0] & (ALPHA | ANIMATION), 0, 0, 0], &canvas[4..]],
    );
    let (mut is_timed, mut frames, mut pixels) = (false, 0, 0);
    for chunk in chunks {
        match chunk? {
            (b"ANIM", body) if body.len() == 6 && !is_timed => {
                put(&mut cleaned, b"ANIM", &[body]);
                is_timed = true;
            }
            (b"ANMF", body) if is_timed => {
                frames += 1;
                pixels += frame(body, &mut cleaned)?;
                if frames > FRAMES || pixels > FRAME_PIXELS {
                    return Err(Refused::TooLong);
                }
            }
            _ => {}
        }
    }
    let length = u32::try_from(cleaned.len() - 8).map_err(|_| Refused::TooLarge)?;
    cleaned[4..8].copy_from_slice(&length.to_le_bytes());
    Ok(Some(cleaned))
}

/// Copy a frame: where it stands and how long, and its picture. Says how many pixels it has.
fn frame(body: &[u8], cleaned: &mut Vec<u8>) -> Result<u64, Refused> {
    let damaged = || Refused::Damaged("a frame is not complete".to_owned());
    let (place, pictures) = body.split_at_checked(16).ok_or_else(damaged)?;
    let side = |at: usize| u32::from_le_bytes([place[at], place[at + 1], place[at + 2], 0]) + 1;
    let (width, height) = (side(6), side(9));
    if width > LARGEST_SIDE || height > LARGEST_SIDE {
        return Err(Refused::TooLarge);
    }
    let mut picture = Vec::new();
    for chunk in (Chunks { rest: pictures }) {
        match chunk? {
            (b"ALPH", body) if picture.is_empty() => put(&mut picture, b"ALPH", &[body]),
            (name @ (b"VP8 " | b"VP8L"), body) => {
                put(&mut picture, name, &[body]);
                put(cleaned, b"ANMF", &[place, &picture]);
                // One is all that is shown.
                return Ok(u64::from(width) * u64::from(height));
            }
            _ => {}
        }
    }
    Err(damaged())
}

/// The parts of a file, each with its name.
struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(&'a [u8; 4], &'a [u8]), Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let chunk = self.take_one();
        if chunk.is_none() {
            self.rest = &[];
        }
        Some(chunk.ok_or_else(|| Refused::Damaged("it breaks off".to_owned())))
    }
}

impl<'a> Chunks<'a> {
    fn take_one(&mut self) -> Option<(&'a [u8; 4], &'a [u8])> {
        let (name, rest) = self.rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (body, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        // Bodies of odd length are followed by a byte that says nothing; at the end some writers forget it.
        self.rest = rest.get(body.len() % 2..).unwrap_or_default();
        Some((name, body))
    }
}

fn put(file: &mut Vec<u8>, name: &[u8; 4], body: &[&[u8]]) {
    let length: usize = body.iter().map(|part| part.len()).sum();
    file.extend(name);
    file.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    for part in body {
        file.extend(*part);
    }
    file.extend(&[0][..length % 2]);
}

impl From<image_webp::DecodingError> for Refused {
    fn from(error: image_webp::DecodingError) -> Self {
        Self::Damaged(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut chunk = Vec::new();
        put(&mut chunk, name, &[body]);
        chunk
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        let chunks = chunks.concat();
        let length = u32::try_from(chunks.len() + 4).unwrap().to_le_bytes();
        [b"RIFF", &length[..], b"WEBP", &chunks].concat()
    }

    #[test]
    fn of_an_animation_only_frames_are_copied() {
        let canvas = chunk(b"VP8X", &[0x2e, 9, 9, 9, 7, 0, 0, 7, 0, 0]);
        let times = chunk(b"ANIM", &[1, 2, 3, 4, 0, 0]);
        let picture = chunk(b"VP8L", b"pixel");
        let frame = |pictures: &[Vec<u8>]| chunk(b"ANMF", &[&[0; 16][..], &pictures.concat()].concat());
        let mut dirty = file(&[
            canvas,
            chunk(b"ICCP", b"profile"),
            times.clone(),
            chunk(b"ANIM", b"script"),
            frame(&[
                chunk(b"JUNK", b"<script>"),
                picture.clone(),
                chunk(b"VP8 ", b"<script>"),
            ]),
            chunk(b"EXIF", b"home"),
            chunk(b"XMP ", b"home"),
            chunk(b"PK\x03\x04", b"zip"),
        ]);
        dirty.extend(b"behind the end");
        let clean = file(&[
            chunk(b"VP8X", &[0x02, 0, 0, 0, 7, 0, 0, 7, 0, 0]),
            times,
            frame(&[picture]),
        ]);
        assert_eq!(cleaned(&dirty), Ok(Some(clean)));
        assert_eq!(cleaned(&file(&[chunk(b"VP8L", b"still")])), Ok(None));
        for cut in 0..dirty.len() - b"behind the end".len() {
            assert!(!matches!(cleaned(&dirty[..cut]), Ok(Some(_))), "{cut}");
        }
    }

    #[test]
    fn endless_animations_end() {
        let picture = chunk(b"VP8L", b"pixel");
        let frame = |place: &[u8]| chunk(b"ANMF", &[place, &picture].concat());
        let start = [
            chunk(b"VP8X", &[0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            chunk(b"ANIM", &[0; 6]),
        ]
        .concat();
        let many = |count: usize| file(&[vec![start.clone()], vec![frame(&[0; 16]); count]].concat());
        assert!(cleaned(&many(FRAMES)).is_ok());
        assert_eq!(cleaned(&many(FRAMES + 1)), Err(Refused::TooLong));
        let large = [&[0; 6][..], &[0xff, 0x0f, 0, 0xff, 0x0f, 0], &[0; 4]].concat();
        let large = file(&[vec![start.clone()], vec![frame(&large); 6]].concat());
        assert_eq!(cleaned(&large), Err(Refused::TooLong));
    }
}
