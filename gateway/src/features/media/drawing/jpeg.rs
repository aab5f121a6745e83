//! JPEG: its segments, its pixels, and ours.

use image::{DynamicImage, GrayImage, RgbImage, metadata::Orientation};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::{
    Opened, Refused,
    colours::{Colours, Inks},
    header::LARGEST_SIDE,
};

/// Progressive files come in about ten scans. Each costs a pass over all pixels, so a file of nothing but scans must end somewhere.
const SCANS: usize = 40;

/// What the frame header says, behind whatever comes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub width: u32,
    pub height: u32,
    /// Colours are as fine as brightness, as in screenshots; cameras halve them.
    pub is_fine: bool,
}

/// The frame header, if it has arrived.
pub fn frame(file: &[u8]) -> Option<Frame> {
    let is_frame = |marker: u8| matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
    let (_, body) = Segments::of(file).find(|(marker, _)| is_frame(*marker))?;
    let [_, a, b, c, d, components, rest @ ..] = body else {
        return None;
    };
    let mut sampling = rest
        .chunks_exact(3)
        .take(usize::from(*components))
        .map(|component| component[1]);
    let first = sampling.next();
    Some(Frame {
        width: u16::from_be_bytes([*c, *d]).into(),
        height: u16::from_be_bytes([*a, *b]).into(),
        is_fine: sampling.all(|other| Some(other) == first),
    })
}

/// The segments of a file, as far as they have arrived, each with its marker. What lies between them is passed over.
struct Segments<'a> {
    rest: &'a [u8],
}

impl<'a> Segments<'a> {
    const START_OF_SCAN: u8 = 0xda;
    const END: u8 = 0xd9;

    fn of(file: &'a [u8]) -> Self {
        Self {
            rest: file.get(2..).unwrap_or_default(),
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = self
                .rest
                .windows(2)
                .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
            let marker = self.rest[at + 1];
            self.rest = &self.rest[at + 2..];
            match marker {
                // These stand alone: restarts within a scan, and a relic.
                0xd0..=0xd7 | 0x01 => {}
                Self::END => {
                    self.rest = &[];
                    return Some((marker, &[]));
                }
                _ => {
                    let length = usize::from(u16::from_be_bytes(self.rest.first_chunk().copied()?));
                    let body = self.rest.get(2..length)?;
                    self.rest = &self.rest[length..];
                    return Some((marker, body));
                }
            }
        }
    }
}

/// Has it come to its end? Decoders paint what is missing grey.
fn is_complete(file: &[u8]) -> bool {
    let mut scans = Segments::of(file).skip_while(|(marker, _)| *marker != Segments::START_OF_SCAN);
    scans.any(|(marker, _)| marker == Segments::END)
}

pub fn open(file: &[u8]) -> Result<Opened, Refused> {
    let damaged = |error: zune_jpeg::errors::DecodeErrors| Refused::Damaged(error.to_string());
    if !is_complete(file) {
        return Err(Refused::Damaged("it breaks off".to_owned()));
    }
    let side = LARGEST_SIDE as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_max_scans(SCANS);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(damaged)?;
    let profile = decoder.icc_profile();
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let stored = decoder.input_colorspace().unwrap_or(ColorSpace::YCbCr);
    let inks = profile
        .as_deref()
        .filter(|_| matches!(stored, ColorSpace::CMYK | ColorSpace::YCCK));
    let inks = inks.and_then(Inks::of);
    let wanted = match stored {
        ColorSpace::Luma => ColorSpace::Luma,
        // With the profile of a press, its colours are known better than by the rule of thumb that the decoder has.
        _ if inks.is_some() => stored,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(wanted));
    let pixels = decoder.decode().map_err(damaged)?;
    let (width, height) = decoder.dimensions().ok_or_else(Refused::no_pixels)?;
    let (width, height) = (side_of(width)?, side_of(height)?);
    let colours = match stored {
        ColorSpace::CMYK | ColorSpace::YCCK => Colours::Srgb,
        _ => Colours::of(profile),
    };
    let picture = match (inks, wanted) {
        (Some(inks), _) => {
            let pixels = inks.to_srgb(pixels, stored == ColorSpace::YCCK)?;
            RgbImage::from_raw(width, height, pixels).map(DynamicImage::from)
        }
        (None, ColorSpace::Luma) => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        (None, _) => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    Ok(Opened {
        picture: picture.ok_or_else(Refused::no_pixels)?,
        colours,
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
    })
}

fn side_of(pixels: usize) -> Result<u32, Refused> {
    u32::try_from(pixels).map_err(|_| Refused::TooLarge)
}

/// A picture without alpha as a file. Without `is_fine`, colours are kept at half the detail, as cameras do it.
pub fn file_of(picture: &DynamicImage, quality: u8, is_fine: bool) -> Result<Vec<u8>, Refused> {
    let failed = |error: jpeg_encoder::EncodingError| Refused::Damaged(error.to_string());
    let side = |pixels: u32| u16::try_from(pixels).map_err(|_| Refused::TooLarge);
    let (width, height) = (side(picture.width())?, side(picture.height())?);
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_sampling_factor(if is_fine {
        SamplingFactor::F_1_1
    } else {
        SamplingFactor::F_2_2
    });
    match picture {
        DynamicImage::ImageLuma8(grey) => encoder
            .encode(grey, width, height, ColorType::Luma)
            .map_err(failed)?,
        DynamicImage::ImageRgb8(rgb) => encoder
            .encode(rgb, width, height, ColorType::Rgb)
            .map_err(failed)?,
        other => encoder
            .encode(&other.to_rgb8(), width, height, ColorType::Rgb)
            .map_err(failed)?,
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_found_behind_thumbnails_and_rubbish() {
        let mut file = vec![0xff, 0xd8];
        // A segment that holds something like an end, fill bytes, a frame header, a scan with a restart and a stuffed byte, the end.
        file.extend([0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2]);
        file.extend([
            7, 7, 0xff, 0xff, 0xc2, 0, 14, 8, 0, 45, 0, 123, 2, 1, 0x22, 0, 2, 0x11, 0,
        ]);
        file.extend([0xff, 0xda, 0, 3, 9, 1, 2, 0xff, 0, 3, 0xff, 0xd0, 4]);
        let markers = |file: &[u8]| Segments::of(file).map(|(marker, _)| marker).collect::<Vec<_>>();
        assert_eq!(markers(&file), [0xe1, 0xc2, 0xda]);
        assert!(!is_complete(&file));
        file.extend([0xff, 0xd9]);
        assert!(is_complete(&file));
        file.extend(b"PK\x03\x04");
        assert_eq!(markers(&file), [0xe1, 0xc2, 0xda, 0xd9]);
        assert_eq!(
            frame(&file),
            Some(Frame {
                width: 123,
                height: 45,
                is_fine: false
            })
        );
        for cut in 0..file.len() {
            let _ = (frame(&file[..cut]), is_complete(&file[..cut]));
        }
    }
}
