//! Colours that mean the same everywhere. A file may say what its numbers stand for; we turn them into what all screens take for
//! granted (sRGB), and leave the saying out: a profile is a file of its own, with room for anything.

use image::{DynamicImage, ImageBuffer};
use moxcms::{ColorProfile, DataColorSpace, Layout, ToneReprCurve, TransformExecutor, TransformOptions};

use super::Refused;

/// Samples that are converted at once.
const STRIP: usize = 64 * 1024;

/// What the numbers of a picture stand for.
pub enum Colours {
    /// What everybody takes for granted.
    Srgb,
    /// Its primaries, but brightness follows another power.
    Gamma(f64),
    Profile(Box<ColorProfile>),
}

impl Colours {
    /// What a profile says. One that makes no sense says nothing, as in browsers.
    pub fn of(profile: Option<Vec<u8>>) -> Self {
        let profile = profile.and_then(|profile| ColorProfile::new_from_slice(&profile).ok());
        profile.map_or(Self::Srgb, |profile| Self::Profile(Box::new(profile)))
    }

    pub fn are_srgb(&self) -> bool {
        matches!(self, Self::Srgb)
    }

    /// The picture in sRGB, with eight bits for each sample.
    pub fn to_srgb(&self, picture: DynamicImage) -> DynamicImage {
        let picture = in_eight_bits(picture);
        let profile = match self {
            Self::Srgb => return picture,
            Self::Gamma(gamma) => with_gamma(*gamma),
            Self::Profile(profile) => (**profile).clone(),
        };
        match (profile.color_space, picture) {
            (DataColorSpace::Gray, DynamicImage::ImageLuma8(grey)) => {
                let converted = converted(&profile, Layout::Gray, Layout::Rgb, grey.as_raw());
                match converted.and_then(|rgb| ImageBuffer::from_raw(grey.width(), grey.height(), rgb)) {
                    Some(rgb) => DynamicImage::ImageRgb8(rgb).to_luma8().into(),
                    None => grey.into(),
                }
            }
            (DataColorSpace::Rgb, DynamicImage::ImageRgb8(mut rgb)) => {
                convert(&profile, Layout::Rgb, &mut rgb);
                rgb.into()
            }
            (DataColorSpace::Rgb, DynamicImage::ImageRgba8(mut rgba)) => {
                convert(&profile, Layout::Rgba, &mut rgba);
                rgba.into()
            }
            (DataColorSpace::Rgb, grey) => {
                let mut rgba = grey.into_rgba8();
                convert(&profile, Layout::Rgba, &mut rgba);
                rgba.into()
            }
            // A profile for something else than this picture.
            (_, picture) => picture,
        }
    }
}

fn in_eight_bits(picture: DynamicImage) -> DynamicImage {
    match picture {
        DynamicImage::ImageLuma16(_) => picture.into_luma8().into(),
        DynamicImage::ImageLumaA16(_) => picture.into_luma_alpha8().into(),
        DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgb32F(_) => picture.into_rgb8().into(),
        DynamicImage::ImageRgba16(_) | DynamicImage::ImageRgba32F(_) => picture.into_rgba8().into(),
        eight_bits => eight_bits,
    }
}

fn with_gamma(gamma: f64) -> ColorProfile {
    let mut profile = ColorProfile::new_srgb();
    #[expect(clippy::cast_possible_truncation, reason = "a power needs no more digits")]
    let curve = ToneReprCurve::Parametric(vec![(1.0 / gamma) as f32]);
    profile.cicp = None;
    profile.red_trc = Some(curve.clone());
    profile.green_trc = Some(curve.clone());
    profile.blue_trc = Some(curve);
    profile
}

/// How to get from a profile to sRGB, if there is a way.
fn way(
    profile: &ColorProfile,
    from: Layout,
    to: Layout,
) -> Option<impl std::ops::Deref<Target = dyn TransformExecutor<u8> + Send + Sync>> {
    profile
        .create_transform_8bit(from, &ColorProfile::new_srgb(), to, TransformOptions::default())
        .ok()
}

/// In place, a strip at a time: a second picture of that size would be a waste.
fn convert(profile: &ColorProfile, layout: Layout, samples: &mut [u8]) {
    let Some(way) = way(profile, layout, layout) else {
        return;
    };
    let mut strip = Vec::new();
    for samples in samples.chunks_mut(STRIP * layout.channels()) {
        strip.resize(samples.len(), 0);
        if way.transform(samples, &mut strip).is_ok() {
            samples.copy_from_slice(&strip);
        }
    }
}

fn converted(profile: &ColorProfile, from: Layout, to: Layout, samples: &[u8]) -> Option<Vec<u8>> {
    let way = way(profile, from, to)?;
    let mut converted = vec![0; samples.len() / from.channels() * to.channels()];
    way.transform(samples, &mut converted).ok()?;
    Some(converted)
}

/// The profile of a press, whose numbers say how much ink there is.
pub struct Inks(ColorProfile);

impl Inks {
    pub fn of(profile: &[u8]) -> Option<Self> {
        let profile = ColorProfile::new_from_slice(profile).ok()?;
        (profile.color_space == DataColorSpace::Cmyk).then_some(Self(profile))
    }

    /// The samples of a JPEG, which are turned around there: 255 is no ink. With `with_luma`, the first three are brightness and two
    /// differences of colour.
    pub fn to_srgb(&self, mut samples: Vec<u8>, with_luma: bool) -> Result<Vec<u8>, Refused> {
        for pixel in samples.chunks_exact_mut(4) {
            if with_luma {
                let [y, cb, cr] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
                pixel[0] = 255 - clamped(y + 1.402 * (cr - 128.0));
                pixel[1] = 255 - clamped(y - 0.344_14 * (cb - 128.0) - 0.714_14 * (cr - 128.0));
                pixel[2] = 255 - clamped(y + 1.772 * (cb - 128.0));
            }
            for ink in pixel {
                *ink = 255 - *ink;
            }
        }
        let rgb = converted(&self.0, Layout::Rgba, Layout::Rgb, &samples);
        rgb.ok_or_else(|| Refused::Damaged("its profile cannot be used".to_owned()))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped before"
)]
fn clamped(sample: f32) -> u8 {
    sample.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn grey_in(colours: &Colours) -> u8 {
        let picture = RgbImage::from_pixel(4, 4, Rgb([100; 3]));
        colours.to_srgb(picture.into()).to_rgb8().get_pixel(2, 2).0[1]
    }

    #[test]
    fn brightness_that_follows_another_power_is_understood() {
        assert_eq!(grey_in(&Colours::Srgb), 100);
        let linear = grey_in(&Colours::Gamma(1.0));
        assert!((164..=170).contains(&linear), "{linear}");
        let steep = grey_in(&Colours::Gamma(0.25));
        assert!((35..=50).contains(&steep), "{steep}");
    }
}
