//! Making our own pictures of those that people send, without trusting them.
//!
//! What a file is, its first bytes say, and how large it would be, its header: both are judged before anything is decoded. Then it
//! is decoded, turned upright, brought into the colours that every screen understands, and drawn anew. So nothing of the file
//! survives but the picture: no place where it was taken, no script behind its end, nothing between its pixels. Copying a file's
//! own data instead would lose nothing, but also whatever somebody hid where no decoder looks.
//!
//! PNG and GIF are drawn anew without loss. JPEG and WebP lose what a second look at the highest sensible quality costs. The one
//! exception are WebP animations, which nobody but the original encoder could draw again: of those the frames are copied, and
//! nothing else.
//!
//! Small versions are JPEG, which everything shows, or WebP where something shines through: every browser of the last years takes
//! it, at a fifth of what PNG needs.
//!
//! This room does no I/O and knows nothing of the rest of the gateway.

mod colours;
mod gif;
mod header;
mod jpeg;
mod png;
mod small;
mod webp;

use image::{DynamicImage, ImageDecoder, ImageError, Limits, metadata::Orientation};

use self::colours::Colours;
pub use self::header::{Kind, LARGEST_SIDE, glimpse};

/// What one decoder may take. The largest picture there may be, with alpha at 16 bits, takes half of it.
const MEMORY: usize = 256 * 1024 * 1024;
/// A second look at this quality is not seen.
const FINE: u8 = 90;

/// Why a file is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not one of the four kinds.
    Unsupported,
    /// Too many pixels.
    TooLarge,
    /// An animation of too many frames, or of too many pixels in all frames together.
    TooLong,
    /// It claims to be one of the four kinds, but does not keep to it. What is wrong, is for the log.
    Damaged(String),
}

impl Refused {
    fn no_pixels() -> Self {
        Self::Damaged("it has no pixels".to_owned())
    }
}

impl From<ImageError> for Refused {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// A picture that we drew ourselves, as a file.
#[derive(Debug)]
pub struct Drawn {
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

/// One picture in three sizes.
#[derive(Debug)]
pub struct Versions {
    pub width: u32,
    pub height: u32,
    pub original: Drawn,
    pub medium: Drawn,
    pub thumbnail: Drawn,
}

/// All versions of the picture in a file.
pub fn versions(file: &[u8]) -> Result<Versions, Refused> {
    let kind = header::of(file)?.kind;
    // What is animated is looked through before any of it is decoded.
    let animation = match kind {
        Kind::Gif => Some(gif::redrawn(file)?),
        Kind::WebP => webp::animation(file)?,
        Kind::Jpeg | Kind::Png => None,
    };
    let (picture, is_as_it_was) = upright(kind, file)?;
    let original = match (kind, animation) {
        (_, Some(animation)) => animation,
        (Kind::Jpeg, None) => {
            let is_fine = jpeg::frame(file).is_some_and(|frame| frame.is_fine);
            jpeg::file_of(&picture, FINE, is_fine)?
        }
        (Kind::Png, None) if is_as_it_was => png::redrawn(file)?,
        (Kind::Png | Kind::Gif, None) => png::file_of(&picture)?,
        (Kind::WebP, None) => webp::redrawn(file, &picture)?,
    };
    let (medium, thumbnail) = small::medium_and_thumbnail(&picture)?;
    Ok(Versions {
        width: picture.width(),
        height: picture.height(),
        original: Drawn {
            kind,
            bytes: original,
        },
        medium,
        thumbnail,
    })
}

/// The middle of the picture in a file as a small square.
pub fn thumbnail(file: &[u8]) -> Result<Drawn, Refused> {
    let kind = header::of(file)?.kind;
    let (picture, _) = upright(kind, file)?;
    small::thumbnail(&picture)
}

/// What a decoder makes of a file.
struct Opened {
    picture: DynamicImage,
    colours: Colours,
    orientation: Orientation,
}

impl Opened {
    fn by(mut decoder: impl ImageDecoder) -> Result<Self, Refused> {
        decoder.set_limits(image_limits())?;
        let colours = Colours::of(decoder.icc_profile()?);
        let orientation = decoder.orientation()?;
        Ok(Self {
            picture: DynamicImage::from_decoder(decoder)?,
            colours,
            orientation,
        })
    }
}

/// The picture in a file (of an animation, the first), upright and in the colours of every screen; and whether its samples are those
/// of the file, or at least were before they became eight bits.
fn upright(kind: Kind, file: &[u8]) -> Result<(DynamicImage, bool), Refused> {
    let opened = match kind {
        Kind::Jpeg => jpeg::open(file)?,
        Kind::Png => png::open(file)?,
        Kind::Gif => gif::open(file)?,
        Kind::WebP => webp::open(file)?,
    };
    let is_as_it_was = opened.colours.are_srgb() && opened.orientation == Orientation::NoTransforms;
    let mut picture = opened.colours.to_srgb(opened.picture);
    picture.apply_orientation(opened.orientation);
    Ok((picture, is_as_it_was))
}

fn image_limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(MEMORY as u64);
    limits
}
