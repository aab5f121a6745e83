//! Small versions of a picture. None is ever larger than the picture: pixels that are not there would only be blurred.

use std::borrow::Cow;

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer, images::Image, images::ImageRef,
};
use image::{DynamicImage, ImageBuffer};

use super::{Drawn, Kind, Refused, jpeg, webp};

/// All of the picture within so many pixels, for reading it in a chat.
const MEDIUM: u32 = 800;
/// The middle of it in so many, for lists.
const THUMBNAIL: u32 = 300;
const MEDIUM_QUALITY: u8 = 82;
const THUMBNAIL_QUALITY: u8 = 80;

pub fn medium_and_thumbnail(picture: &DynamicImage) -> Result<(Drawn, Drawn), Refused> {
    let (width, height) = (picture.width(), picture.height());
    let longest = width.max(height);
    let medium = if longest <= MEDIUM {
        Cow::Borrowed(picture)
    } else {
        let side = |side: u32| (side * MEDIUM + longest / 2).div_euclid(longest).max(1);
        Cow::Owned(scaled(picture, (0, 0, width, height), side(width), side(height))?)
    };
    // From the medium one it is quicker, as long as that has the pixels.
    let has_enough = medium.width().min(medium.height()) >= THUMBNAIL.min(width.min(height));
    let thumbnail = thumbnail(if has_enough { &medium } else { picture })?;
    Ok((file_of(&medium, MEDIUM_QUALITY)?, thumbnail))
}

/// The middle of the picture as a square.
pub fn thumbnail(picture: &DynamicImage) -> Result<Drawn, Refused> {
    let (width, height) = (picture.width(), picture.height());
    let side = width.min(height);
    let square = ((width - side) / 2, (height - side) / 2, side, side);
    let small = scaled(picture, square, side.min(THUMBNAIL), side.min(THUMBNAIL))?;
    file_of(&small, THUMBNAIL_QUALITY)
}

/// A part of a picture in another size.
fn scaled(
    picture: &DynamicImage,
    (left, top, width, height): (u32, u32, u32, u32),
    to_width: u32,
    to_height: u32,
) -> Result<DynamicImage, Refused> {
    let failed = |error: &dyn std::fmt::Display| Refused::Damaged(error.to_string());
    let pixels = match picture {
        DynamicImage::ImageLuma8(_) => PixelType::U8,
        DynamicImage::ImageLumaA8(_) => PixelType::U8x2,
        DynamicImage::ImageRgb8(_) => PixelType::U8x3,
        _ => PixelType::U8x4,
    };
    let source = ImageRef::new(picture.width(), picture.height(), picture.as_bytes(), pixels)
        .map_err(|e| failed(&e))?;
    let mut target = Image::new(to_width, to_height, pixels);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
        .crop(left.into(), top.into(), width.into(), height.into());
    Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|e| failed(&e))?;
    let samples = target.into_vec();
    let scaled = match pixels {
        PixelType::U8 => ImageBuffer::from_raw(to_width, to_height, samples).map(DynamicImage::ImageLuma8),
        PixelType::U8x2 => ImageBuffer::from_raw(to_width, to_height, samples).map(DynamicImage::ImageLumaA8),
        PixelType::U8x3 => ImageBuffer::from_raw(to_width, to_height, samples).map(DynamicImage::ImageRgb8),
        _ => ImageBuffer::from_raw(to_width, to_height, samples).map(DynamicImage::ImageRgba8),
    };
    scaled.ok_or_else(Refused::no_pixels)
}

fn file_of(picture: &DynamicImage, quality: u8) -> Result<Drawn, Refused> {
    if is_opaque(picture) {
        return Ok(Drawn {
            kind: Kind::Jpeg,
            bytes: jpeg::file_of(picture, quality, false)?,
        });
    }
    Ok(Drawn {
        kind: Kind::WebP,
        bytes: webp::file_of(picture, quality)?,
    })
}

fn is_opaque(picture: &DynamicImage) -> bool {
    match picture {
        DynamicImage::ImageLumaA8(picture) => picture.pixels().all(|pixel| pixel.0[1] == u8::MAX),
        DynamicImage::ImageRgba8(picture) => picture.pixels().all(|pixel| pixel.0[3] == u8::MAX),
        _ => true,
    }
}
