//! What the first bytes of a file say: what it is, and how large it would be. Names and declared types say nothing.

use super::{Refused, jpeg};

/// An image may have this many pixels a side (contract 5.2). This also bounds what a picture takes in memory.
pub const LARGEST_SIDE: u32 = 4_096;
/// Every kind has shown what it is by then.
const SIGNATURE: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Jpeg,
    Png,
    Gif,
    WebP,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Jpeg, Self::Png, Self::Gif, Self::WebP];

    fn of(first: &[u8]) -> Option<Self> {
        match first {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            _ => None,
        }
    }

    pub fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::WebP => "webp",
        }
    }

    /// The kind of a file that we named ourselves.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        Self::ALL.into_iter().find(|kind| kind.extension() == extension)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub width: u32,
    pub height: u32,
}

/// Look at the beginning of a file that is still arriving. Nothing, if more has to arrive first; a refusal as soon as it is certain.
pub fn glimpse(arrived: &[u8]) -> Result<Option<Header>, Refused> {
    let Some(kind) = Kind::of(arrived) else {
        return if arrived.len() < SIGNATURE {
            Ok(None)
        } else {
            Err(Refused::Unsupported)
        };
    };
    let size = match kind {
        Kind::Jpeg => jpeg::frame(arrived).map(|frame| (frame.width, frame.height)),
        Kind::Png => png(arrived)?,
        Kind::Gif => u16_le(arrived, 6).zip(u16_le(arrived, 8)),
        Kind::WebP => webp(arrived)?,
    };
    let Some((width, height)) = size else {
        return Ok(None);
    };
    if width > LARGEST_SIDE || height > LARGEST_SIDE {
        return Err(Refused::TooLarge);
    }
    if width == 0 || height == 0 {
        return Err(Refused::Damaged("it has no pixels".to_owned()));
    }
    Ok(Some(Header { kind, width, height }))
}

/// The same, when all of it has arrived.
pub fn of(file: &[u8]) -> Result<Header, Refused> {
    match glimpse(file)? {
        Some(header) => Ok(header),
        None if Kind::of(file).is_none() => Err(Refused::Unsupported),
        None => Err(Refused::Damaged("its header is not complete".to_owned())),
    }
}

fn png(file: &[u8]) -> Result<Option<(u32, u32)>, Refused> {
    match file.get(12..16) {
        Some(b"IHDR") => Ok(u32_be(file, 16).zip(u32_be(file, 20))),
        Some(_) => Err(Refused::Damaged("it does not begin with its header".to_owned())),
        None => Ok(None),
    }
}

fn webp(file: &[u8]) -> Result<Option<(u32, u32)>, Refused> {
    let Some(chunk) = file.get(12..16) else {
        return Ok(None);
    };
    Ok(match chunk {
        b"VP8X" => u24_le(file, 24)
            .zip(u24_le(file, 27))
            .map(|(w, h)| (w + 1, h + 1)),
        b"VP8 " => u16_le(file, 26)
            .zip(u16_le(file, 28))
            .map(|(w, h)| (w & 0x3fff, h & 0x3fff)),
        b"VP8L" => u32_le(file, 21).map(|bits| ((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1)),
        _ => return Err(Refused::Damaged("it holds no picture".to_owned())),
    })
}

fn bytes<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at + N)?.try_into().ok()
}

fn u16_le(file: &[u8], at: usize) -> Option<u32> {
    bytes(file, at).map(|b| u16::from_le_bytes(b).into())
}

fn u24_le(file: &[u8], at: usize) -> Option<u32> {
    bytes(file, at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
}

fn u32_le(file: &[u8], at: usize) -> Option<u32> {
    bytes(file, at).map(u32::from_le_bytes)
}

fn u32_be(file: &[u8], at: usize) -> Option<u32> {
    bytes(file, at).map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageFormat};

    use super::*;

    fn file(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        DynamicImage::new_rgb8(width, height)
            .write_to(&mut Cursor::new(&mut bytes), format)
            .unwrap();
        bytes
    }

    #[test]
    fn a_header_is_understood_as_soon_as_it_is_there() {
        for (format, kind) in [
            (ImageFormat::Jpeg, Kind::Jpeg),
            (ImageFormat::Png, Kind::Png),
            (ImageFormat::Gif, Kind::Gif),
            (ImageFormat::WebP, Kind::WebP),
        ] {
            let file = file(123, 45, format);
            let expected = Header {
                kind,
                width: 123,
                height: 45,
            };
            let mut first = None;
            for arrived in 0..=file.len() {
                let glimpse = glimpse(&file[..arrived]).unwrap();
                assert!(
                    glimpse.is_none() || glimpse == Some(expected),
                    "{kind:?}: {glimpse:?}"
                );
                if glimpse.is_some() && first.is_none() {
                    first = Some(arrived);
                }
            }
            assert!(
                first.is_some_and(|first| first < 1_000),
                "{kind:?} after {first:?} bytes"
            );
            assert_eq!(Kind::of_name(&format!("x.{}", kind.extension())), Some(kind));
        }
    }

    #[test]
    fn what_is_nothing_of_ours_is_refused_at_once() {
        for other in [
            "<svg xmlns=\"http\"/>",
            "BM..............",
            "%PDF-1.7........",
            "RIFF....WAVEfmt ",
        ] {
            assert_eq!(glimpse(other.as_bytes()), Err(Refused::Unsupported), "{other}");
        }
        assert_eq!(glimpse(b""), Ok(None));
        assert_eq!(of(b""), Err(Refused::Unsupported));
        assert_eq!(
            glimpse(&file(4_097, 1, ImageFormat::Png)[..30]),
            Err(Refused::TooLarge)
        );
        assert!(
            glimpse(&file(4_096, 1, ImageFormat::Png)[..30])
                .unwrap()
                .is_some()
        );
    }
}
