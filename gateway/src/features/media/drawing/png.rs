//! PNG, drawn anew sample by sample: nothing is lost, and nothing but the samples comes along.

use std::io::Cursor;

use image::{
    DynamicImage,
    codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder},
};
use png::{Compression, Decoder, Encoder, Limits, Transformations};

use super::{MEMORY, Opened, Refused, colours::Colours, image_limits};

pub fn open(file: &[u8]) -> Result<Opened, Refused> {
    if !is_complete(file) {
        return Err(Refused::Damaged("it breaks off".to_owned()));
    }
    let decoder = PngDecoder::with_limits(Cursor::new(file), image_limits())?;
    let mut opened = Opened::by(decoder)?;
    if let (Colours::Srgb, Some(gamma)) = (&opened.colours, gamma(file)?) {
        opened.colours = Colours::Gamma(gamma);
    }
    Ok(opened)
}

/// How the format said what colours are meant, before there were profiles; nothing, if it is what everybody takes for granted.
fn gamma(file: &[u8]) -> Result<Option<f64>, Refused> {
    let reader = samples_of(file).read_info()?;
    let info = reader.info();
    let gamma = info.gama_chunk.filter(|_| info.srgb.is_none());
    let gamma = gamma.map(|gamma| f64::from(gamma.into_scaled()) / 100_000.0);
    Ok(gamma.filter(|gamma| (gamma - 1.0 / 2.2).abs() > 0.01))
}

fn samples_of(file: &[u8]) -> Decoder<Cursor<&[u8]>> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits { bytes: MEMORY });
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder
}

/// Has it come to its end? Decoders are content with the last pixel.
fn is_complete(file: &[u8]) -> bool {
    let mut rest = file.get(8..).unwrap_or_default();
    while let Some((length, chunk)) = rest.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        // Behind its name and its body stands a checksum.
        let Some(end) = length.checked_add(8).filter(|end| *end <= chunk.len()) else {
            return false;
        };
        if chunk.starts_with(b"IEND") {
            return true;
        }
        rest = &chunk[end..];
    }
    false
}

/// The same file with the same samples, palette and transparency, and nothing else: at 16 bits a sample if it was so, as a palette if
/// it had one.
pub fn redrawn(file: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut reader = samples_of(file).read_info()?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or(Refused::TooLarge)?];
    let frame = reader.next_frame(&mut samples)?;
    let info = reader.info();
    let mut redrawn = Vec::new();
    let mut encoder = Encoder::new(&mut redrawn, frame.width, frame.height);
    encoder.set_color(frame.color_type);
    encoder.set_depth(frame.bit_depth);
    encoder.set_compression(Compression::Fast);
    if let Some(palette) = &info.palette {
        encoder.set_palette(palette.to_vec());
    }
    if let Some(transparency) = &info.trns {
        encoder.set_trns(transparency.to_vec());
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&samples[..frame.buffer_size()])?;
    writer.finish()?;
    Ok(redrawn)
}

/// A picture as a file.
pub fn file_of(picture: &DynamicImage) -> Result<Vec<u8>, Refused> {
    let mut file = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
    picture.write_with_encoder(encoder)?;
    Ok(file)
}

impl From<png::DecodingError> for Refused {
    fn from(error: png::DecodingError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<png::EncodingError> for Refused {
    fn from(error: png::EncodingError) -> Self {
        Self::Damaged(error.to_string())
    }
}
