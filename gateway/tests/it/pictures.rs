//! Image files as people and attackers make them.

use std::io::Cursor;

use gif::{DisposalMethod, Encoder, Frame, Repeat};
use image::{
    DynamicImage, ImageBuffer, ImageEncoder, ImageFormat, Rgb, RgbImage, codecs::jpeg::JpegEncoder,
    codecs::webp::WebPEncoder,
};
use jpeg_encoder::{ColorType, SamplingFactor};

pub const RED: [u8; 3] = [230, 20, 20];
pub const GREEN: [u8; 3] = [20, 200, 20];
pub const BLUE: [u8; 3] = [20, 20, 230];
pub const WHITE: [u8; 3] = [240, 240, 240];

pub fn file(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture
        .into()
        .write_to(&mut Cursor::new(&mut bytes), format)
        .unwrap();
    bytes
}

/// Red and green above blue and white: no two ways of turning it look the same.
pub fn quadrants(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(match (x < width / 2, y < height / 2) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => WHITE,
        })
    })
}

/// The colours of the four quarters, from the upper left one on.
pub fn quarters(picture: &DynamicImage) -> [[u8; 3]; 4] {
    let picture = picture.to_rgb8();
    let (width, height) = picture.dimensions();
    let at = |x, y| picture.get_pixel(width * x / 8, height * y / 8).0;
    [at(2, 2), at(6, 2), at(2, 6), at(6, 6)]
}

pub fn assert_looks(picture: &DynamicImage, expected: [[u8; 3]; 4], tolerance: u8, what: &str) {
    let seen = quarters(picture);
    let differ = |a: &[u8; 3], b: &[u8; 3]| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > tolerance);
    assert!(
        !seen.iter().zip(&expected).any(|(a, b)| differ(a, b)),
        "{what}: {seen:?} instead of {expected:?}"
    );
}

/// A picture that no encoder makes small.
pub fn noise(width: u32, height: u32) -> RgbImage {
    let mut state = 1_u32;
    RgbImage::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [a, b, c, _] = state.to_be_bytes();
        Rgb([a, b, c])
    })
}

/// What a camera writes beside a picture: how it was held, and where. The place is spelled out, so that it can be found.
pub fn camera_notes(orientation: u8) -> Vec<u8> {
    let mut notes = b"II*\0\x08\0\0\0\x02\0".to_vec();
    notes.extend([0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    // A pointer to where it was taken: north, 52 degrees.
    notes.extend([0x25, 0x88, 4, 0, 1, 0, 0, 0, 38, 0, 0, 0]);
    notes.extend([0, 0, 0, 0]);
    notes.extend([1, 0, 1, 0, 2, 0, 2, 0, 0, 0, b'N', 0, 0, 0, 0, 0, 0, 0]);
    notes.extend(b"GPS 52.5200N 13.4050E taken at home");
    notes
}

/// A JPEG with something in a segment right behind its beginning.
pub fn with_segment(jpeg: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, marker], &length, body, &jpeg[2..]].concat()
}

pub fn with_exif(jpeg: &[u8], notes: &[u8]) -> Vec<u8> {
    with_segment(jpeg, 0xe1, &[b"Exif\0\0", notes].concat())
}

/// A PNG with more chunks behind its header.
pub fn with_chunks(png: &[u8], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    const HEADER: usize = 8 + 25;
    let chunks: Vec<u8> = chunks
        .iter()
        .flat_map(|(name, body)| png_chunk(name, body))
        .collect();
    [&png[..HEADER], &chunks, &png[HEADER..]].concat()
}

pub fn png_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let named = [&name[..], body].concat();
    [&length, &named[..], &crc32(&named).to_be_bytes()].concat()
}

/// A PNG whose header claims another size, with a checksum that is right.
pub fn claiming(png: &[u8], width: u32, height: u32) -> Vec<u8> {
    let rest = [&width.to_be_bytes()[..], &height.to_be_bytes(), &png[24..29]].concat();
    [&png[..8], &png_chunk(b"IHDR", &rest), &png[33..]].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

pub fn jpeg(picture: &RgbImage, quality: u8, profile: Option<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).unwrap();
    }
    encoder.encode_image(picture).unwrap();
    bytes
}

pub fn progressive(picture: &RgbImage) -> Vec<u8> {
    progressive_at(picture, 90, true)
}

pub fn progressive_at(picture: &RgbImage, quality: u8, is_progressive: bool) -> Vec<u8> {
    let (width, height) = sides(picture);
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    encoder.set_progressive(is_progressive);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(picture, width, height, ColorType::Rgb).unwrap();
    bytes
}

/// As presses want it: how much of each ink, turned around, as everybody writes it.
pub fn of_inks(picture: &RgbImage, kind: ColorType) -> Vec<u8> {
    let (width, height) = sides(picture);
    let inks: Vec<u8> = picture
        .pixels()
        .flat_map(|pixel| [255 - pixel.0[0], 255 - pixel.0[1], 255 - pixel.0[2], 0])
        .collect();
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, 95);
    encoder.encode(&inks, width, height, kind).unwrap();
    bytes
}

fn sides(picture: &RgbImage) -> (u16, u16) {
    let side = |side: u32| u16::try_from(side).unwrap();
    (side(picture.width()), side(picture.height()))
}

pub fn sixteen_bits(picture: &RgbImage) -> DynamicImage {
    ImageBuffer::from_fn(picture.width(), picture.height(), |x, y| {
        Rgb(picture
            .get_pixel(x, y)
            .0
            .map(|sample| u16::from(sample) * 257 - 100))
    })
    .into()
}

/// A GIF of so many frames of one colour each, with a comment and some script between them.
pub fn animated_gif(side: u16, frames: usize) -> Vec<u8> {
    let palette = [RED, GREEN, BLUE, WHITE].concat();
    let mut encoder = Encoder::new(Vec::new(), side, side, &palette).unwrap();
    encoder.set_repeat(Repeat::Finite(7)).unwrap();
    for number in 0..frames {
        let colour = u8::try_from(number % 4).unwrap();
        let frame = Frame {
            delay: u16::try_from(number % 100).unwrap() + 5,
            dispose: DisposalMethod::Background,
            width: side,
            height: side,
            buffer: vec![colour; usize::from(side) * usize::from(side)].into(),
            ..Frame::default()
        };
        encoder.write_frame(&frame).unwrap();
        if number == 0 {
            let comment: &[u8] = b"<script>alert('a comment')</script>";
            encoder
                .write_raw_extension(gif::AnyExtension(0xfe), &[comment])
                .unwrap();
        }
    }
    encoder.into_inner().unwrap()
}

/// A WebP animation of quadrants and of their mirror image, with notes of a camera, and whatever else is put in.
pub fn animated_webp(side: u32, frames: usize, more: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let sides = |side: u32| (side - 1).to_le_bytes();
    let [a, b, c, _] = sides(side);
    let mut chunks = riff_chunk(b"VP8X", &[0x0e, 0, 0, 0, a, b, c, a, b, c]);
    chunks.extend(riff_chunk(b"ANIM", &[0, 0, 0, 0, 7, 0]));
    for number in 0..frames {
        let mut picture = DynamicImage::from(quadrants(side, side));
        if number % 2 == 1 {
            picture = picture.fliph();
        }
        let mut still = Vec::new();
        picture
            .write_with_encoder(WebPEncoder::new_lossless(&mut still))
            .unwrap();
        let place = [0, 0, 0, 0, 0, 0, a, b, c, a, b, c, 80, 0, 0, 2];
        chunks.extend(riff_chunk(b"ANMF", &[&place[..], &still[12..]].concat()));
    }
    chunks.extend(riff_chunk(b"EXIF", &camera_notes(1)));
    for (name, body) in more {
        chunks.extend(riff_chunk(name, body));
    }
    let length = u32::try_from(chunks.len() + 4).unwrap().to_le_bytes();
    [b"RIFF", &length[..], b"WEBP", &chunks].concat()
}

fn riff_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&name[..], &length, body, &[0][..body.len() % 2]].concat()
}
