//! Files as cameras, presses, editors and attackers make them: the right answer, the right pixels, and nothing else, for each.

use std::io::Cursor;

use gateway::config::Switch;
use image::{
    AnimationDecoder, DynamicImage, GrayAlphaImage, GrayImage, ImageEncoder, ImageFormat, LumaA, Rgb,
    RgbImage, Rgba, RgbaImage,
    codecs::{gif::GifDecoder, png::PngEncoder, webp::WebPDecoder},
};
use jpeg_encoder::ColorType;
use moxcms::ColorProfile;
use serde_json::Value;
use tools::client::{Answer, rest::LoggedIn};

use crate::{
    cluster::Cluster,
    images::{path_of, shown, upload},
    pictures::*,
};

const UPRIGHT: [[u8; 3]; 4] = [RED, GREEN, BLUE, WHITE];

struct Studio {
    cluster: Cluster,
    ada: LoggedIn,
}

impl Studio {
    async fn open() -> Self {
        let cluster = Cluster::with(|config| config.limits.rate_limits = Switch::Off).await;
        let ada = cluster.rest(0).register("ada").await.unwrap();
        Self { cluster, ada }
    }

    async fn take(&self, bytes: Vec<u8>) -> Value {
        upload(&self.ada, "x", bytes).await.expect(201).unwrap().body
    }

    async fn refuse(&self, bytes: Vec<u8>, status: u16, what: &str) -> Answer {
        let answer = upload(&self.ada, "x", bytes).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert!(answer.body["message"].is_string(), "{what}: {}", answer.text);
        answer
    }

    async fn bytes(&self, address: &Value) -> Vec<u8> {
        let door = self.cluster.rest(1);
        door.get(path_of(address))
            .await
            .unwrap()
            .expect(200)
            .unwrap()
            .bytes
    }

    /// All three versions look as they should, and are as large.
    async fn assert_looks(&self, image: &Value, colours: [[u8; 3]; 4], tolerance: u8, what: &str) {
        let (width, height) = (
            image["width"].as_u64().unwrap(),
            image["height"].as_u64().unwrap(),
        );
        for address in ["url", "mediumUrl", "thumbnailUrl"] {
            let picture = shown(&self.cluster.rest(1), &image[address]).await;
            assert_looks(&picture, colours, tolerance, &format!("{what}, {address}"));
            let sides = (u64::from(picture.width()), u64::from(picture.height()));
            match address {
                "url" => assert_eq!(sides, (width, height), "{what}"),
                "mediumUrl" => assert!(sides.0.max(sides.1) <= 800, "{what}: {sides:?}"),
                _ => assert_eq!(
                    sides,
                    (width.min(height).min(300), width.min(height).min(300)),
                    "{what}"
                ),
            }
        }
    }

    /// None of the versions has any of these bytes in it.
    async fn assert_without(&self, image: &Value, traces: &[&[u8]], what: &str) {
        for address in ["url", "mediumUrl", "thumbnailUrl"] {
            let bytes = self.bytes(&image[address]).await;
            for trace in traces {
                let found = bytes.windows(trace.len()).any(|window| window == *trace);
                assert!(!found, "{what}, {address}: {}", String::from_utf8_lossy(trace));
            }
        }
    }
}

const PLACE: [&[u8]; 3] = [b"GPS", b"52.5200N", b"taken at home"];

#[tokio::test]
async fn however_the_camera_was_held_the_picture_is_upright_and_says_not_where() {
    let studio = Studio::open().await;
    let [a, b, c, d] = UPRIGHT;
    // What is seen when the stored quadrants are shown as each note says.
    let ways = [
        [a, b, c, d],
        [b, a, d, c],
        [d, c, b, a],
        [c, d, a, b],
        [a, c, b, d],
        [c, a, d, b],
        [d, b, c, a],
        [b, d, a, c],
    ];
    for (number, colours) in (1..).zip(ways) {
        let notes = camera_notes(number);
        let plain = quadrants(400, 240);
        let png = file(plain.clone(), ImageFormat::Png);
        let mut webp = Vec::new();
        let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
        encoder.set_exif_metadata(notes.clone()).unwrap();
        encoder
            .write_image(&plain, 400, 240, image::ExtendedColorType::Rgb8)
            .unwrap();
        for (bytes, kind) in [
            (with_exif(&jpeg(&plain, 95, None), &notes), "image/jpeg"),
            (with_chunks(&png, &[(b"eXIf", &notes)]), "image/png"),
            (webp, "image/webp"),
        ] {
            let what = format!("{kind}, held in way {number}");
            let image = studio.take(bytes).await;
            let sides = if number < 5 { (400, 240) } else { (240, 400) };
            assert_eq!(
                (image["width"].as_u64(), image["height"].as_u64()),
                (Some(sides.0), Some(sides.1)),
                "{what}"
            );
            assert_eq!(image["fileType"], kind);
            studio.assert_looks(&image, colours, 12, &what).await;
            studio.assert_without(&image, &PLACE, &what).await;
            studio
                .assert_without(&image, &[b"Exif", b"eXIf", b"EXIF"], &what)
                .await;
        }
    }
}

#[tokio::test]
async fn colours_are_what_was_meant() {
    let studio = Studio::open().await;
    let plain = quadrants(320, 320);
    for kind in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        let what = format!("{kind:?}");
        let image = studio.take(of_inks(&plain, kind)).await;
        assert_eq!(image["fileType"], "image/jpeg");
        studio.assert_looks(&image, UPRIGHT, 10, &what).await;
    }
    let image = studio.take(progressive(&plain)).await;
    studio.assert_looks(&image, UPRIGHT, 10, "progressive").await;

    // Sixteen bits stay sixteen.
    let fine = sixteen_bits(&plain);
    let image = studio.take(file(fine.clone(), ImageFormat::Png)).await;
    studio.assert_looks(&image, UPRIGHT, 4, "16 bits").await;
    assert_eq!(shown(&studio.cluster.rest(1), &image["url"]).await, fine);

    let grey = GrayImage::from_fn(320, 320, |x, y| {
        image::Luma([if (x < 160) == (y < 160) { 60 } else { 200 }])
    });
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        let image = studio.take(file(grey.clone(), format)).await;
        let colours = [[60; 3], [200; 3], [200; 3], [60; 3]];
        studio
            .assert_looks(&image, colours, 4, &format!("grey {format:?}"))
            .await;
    }

    // The same numbers mean stronger colours with a wider profile: what we show has the numbers of every screen.
    let wide = ColorProfile::new_display_p3().encode().unwrap();
    let seen = [[251, 0, 0], [0, 203, 0], [20, 20, 240], [240, 240, 240]];
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_icc_profile(wide.clone()).unwrap();
    encoder
        .write_image(&plain, 320, 320, image::ExtendedColorType::Rgb8)
        .unwrap();
    for (bytes, what) in [(png, "png"), (jpeg(&plain, 95, Some(wide)), "jpeg")] {
        let image = studio.take(bytes).await;
        studio
            .assert_looks(&image, seen, 12, &format!("display p3 {what}"))
            .await;
        studio
            .assert_without(&image, &[b"ICC_PROFILE", b"iCCP"], what)
            .await;
    }
    // A profile that makes no sense says nothing.
    let image = studio
        .take(jpeg(&plain, 95, Some(b"no profile at all".repeat(20))))
        .await;
    studio
        .assert_looks(&image, UPRIGHT, 10, "nonsense for a profile")
        .await;
    // How it was said before: brightness follows another power.
    let gamma = with_chunks(
        &file(plain.clone(), ImageFormat::Png),
        &[(b"gAMA", &100_000_u32.to_be_bytes())],
    );
    let image = studio.take(gamma).await;
    let lighter = UPRIGHT.map(|colour| {
        colour.map(|sample| (f32::from(sample) / 255.0).powf(1.0 / 2.2).mul_add(255.0, 0.0) as u8)
    });
    studio.assert_looks(&image, lighter, 14, "gamma").await;
}

#[tokio::test]
async fn transparency_and_palettes_stay() {
    let studio = Studio::open().await;
    let half = RgbaImage::from_fn(640, 640, |x, _| {
        if x < 320 {
            Rgba([200, 30, 30, 255])
        } else {
            Rgba([30, 30, 200, 0])
        }
    });
    let grey = GrayAlphaImage::from_fn(64, 64, |x, _| LumaA([120, if x < 32 { 255 } else { 128 }]));
    for (bytes, kind, left, right) in [
        (file(half.clone(), ImageFormat::Png), "image/png", 255, 0),
        (file(half.clone(), ImageFormat::WebP), "image/webp", 255, 0),
        (file(grey, ImageFormat::Png), "image/png", 255, 128),
    ] {
        let image = studio.take(bytes).await;
        assert_eq!(image["fileType"], kind);
        for address in ["url", "mediumUrl", "thumbnailUrl"] {
            let picture = shown(&studio.cluster.rest(1), &image[address]).await.to_rgba8();
            let (width, height) = picture.dimensions();
            let seen = [
                picture.get_pixel(width / 4, height / 2)[3],
                picture.get_pixel(width * 3 / 4, height / 2)[3],
            ];
            assert_eq!(seen, [left, right], "{kind} {address}");
        }
    }
    // Four colours in two bits each, one of them transparent.
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 16, 16);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette([RED, GREEN, BLUE, WHITE].concat());
    encoder.set_trns(vec![255, 255, 255, 0]);
    let row = |upper: bool| {
        if upper {
            [0x00, 0x00, 0x55, 0x55]
        } else {
            [0xaa, 0xaa, 0xff, 0xff]
        }
    };
    let pixels: Vec<u8> = (0..16).flat_map(|y| row(y < 8)).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    let image = studio.take(bytes).await;
    let cleaned = studio.bytes(&image["url"]).await;
    assert_eq!((cleaned[24], cleaned[25]), (2, 3), "two bits, by palette");
    let picture = image::load_from_memory(&cleaned).unwrap().to_rgba8();
    assert_eq!(
        (picture.get_pixel(1, 1).0, picture.get_pixel(14, 14)[3]),
        ([230, 20, 20, 255], 0)
    );
}

#[tokio::test]
async fn lossy_webp_stays_webp_and_small() {
    let studio = Studio::open().await;
    let picture = DynamicImage::from(quadrants(900, 700));
    let rgb = picture.to_rgb8();
    let lossy = webp::Encoder::from_rgb(&rgb, 900, 700).encode(80.0).to_vec();
    let image = studio.take(lossy.clone()).await;
    assert_eq!(image["fileType"], "image/webp");
    studio.assert_looks(&image, UPRIGHT, 12, "lossy webp").await;
    let size = image["fileSize"].as_u64().unwrap();
    assert!(
        size < 4 * lossy.len() as u64 + 4_000,
        "{size} bytes from {}",
        lossy.len()
    );
}

#[tokio::test]
async fn small_large_and_thin_pictures_are_taken() {
    let studio = Studio::open().await;
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Gif,
        ImageFormat::WebP,
    ] {
        let image = studio
            .take(file(RgbImage::from_pixel(1, 1, Rgb(BLUE)), format))
            .await;
        assert_eq!(
            (&image["width"], &image["height"]),
            (&1.into(), &1.into()),
            "{format:?}"
        );
        studio.assert_looks(&image, [BLUE; 4], 12, "one pixel").await;
    }
    for (width, height) in [(4_096, 1), (1, 4_096), (801, 2)] {
        let image = studio
            .take(file(
                RgbImage::from_pixel(width, height, Rgb(RED)),
                ImageFormat::Png,
            ))
            .await;
        studio
            .assert_looks(&image, [RED; 4], 4, &format!("{width} × {height}"))
            .await;
    }
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        let image = studio.take(file(quadrants(4_096, 4_096), format)).await;
        studio
            .assert_looks(&image, UPRIGHT, 12, "as large as can be")
            .await;
    }
    for (width, height) in [(4_097, 4), (4, 4_097)] {
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::Gif,
            ImageFormat::WebP,
        ] {
            let bytes = file(RgbImage::new(width, height), format);
            let refused = studio.refuse(bytes, 400, "a pixel too many").await;
            assert!(refused.text.contains("4096 pixels a side"), "{}", refused.text);
        }
    }
    let large = file(noise(1_800, 1_800), ImageFormat::Png);
    assert!((9 << 20..10 << 20).contains(&large.len()), "{}", large.len());
    studio.take(large.clone()).await;
    let mut exact = large;
    exact.resize(10 << 20, 0);
    studio.take(exact.clone()).await;
    exact.push(0);
    studio.refuse(exact, 413, "a byte too many").await;
}

#[tokio::test]
async fn animations_move_on_and_their_small_versions_stand_still() {
    let studio = Studio::open().await;
    let gif = [
        animated_gif(200, 6),
        b"*/=1;alert('a script behind the end')".to_vec(),
    ]
    .concat();
    let image = studio.take(gif.clone()).await;
    assert_eq!(image["fileType"], "image/gif");
    studio.assert_looks(&image, [RED; 4], 12, "the first frame").await;
    studio
        .assert_without(&image, &[b"<script>", b"alert"], "gif")
        .await;
    let cleaned = studio.bytes(&image["url"]).await;
    let frames = |bytes: &[u8]| {
        let decoder = GifDecoder::new(Cursor::new(bytes.to_vec())).unwrap();
        let frames = decoder.into_frames().collect_frames().unwrap();
        frames
            .into_iter()
            .map(|frame| (frame.delay(), frame.into_buffer()))
            .collect::<Vec<_>>()
    };
    assert_eq!(frames(&cleaned).len(), 6);
    assert!(
        frames(&cleaned) == frames(&gif),
        "the same frames for the same times"
    );
    assert!(
        cleaned
            .windows(16)
            .any(|window| window == b"NETSCAPE2.0\x03\x01\x07\0\0"),
        "seven times over"
    );

    let hidden: [(&[u8; 4], &[u8]); 2] = [
        (b"JUNK", b"<script>alert(1)</script>"),
        (b"XMP ", b"taken at home"),
    ];
    let webp = [
        animated_webp(120, 5, &hidden),
        b"PK\x03\x04 a zip behind the end".to_vec(),
    ]
    .concat();
    let image = studio.take(webp.clone()).await;
    assert_eq!(image["fileType"], "image/webp");
    studio.assert_looks(&image, UPRIGHT, 12, "the first frame").await;
    studio
        .assert_without(&image, &[b"<script>", b"JUNK", b"PK\x03\x04"], "webp")
        .await;
    studio.assert_without(&image, &PLACE, "webp").await;
    let cleaned = studio.bytes(&image["url"]).await;
    let frames = |bytes: &[u8]| {
        let decoder = WebPDecoder::new(Cursor::new(bytes.to_vec())).unwrap();
        decoder
            .into_frames()
            .collect_frames()
            .unwrap()
            .into_iter()
            .map(|frame| frame.into_buffer())
            .collect::<Vec<_>>()
    };
    assert!(frames(&cleaned).len() == 5 && frames(&cleaned) == frames(&webp));
    for small in ["mediumUrl", "thumbnailUrl"] {
        let bytes = studio.bytes(&image[small]).await;
        assert!(!bytes.windows(4).any(|window| window == b"ANIM"), "{small}");
    }
}

#[tokio::test]
async fn nothing_hidden_in_a_file_survives() {
    let studio = Studio::open().await;
    let plain = quadrants(320, 200);
    let zip = b"PK\x03\x04 a zip behind the end PK\x05\x06";
    let html: &[u8] = b"<html><script>alert(1)</script></html>";
    let jpeg = jpeg(&plain, 90, None);
    let png = file(plain.clone(), ImageFormat::Png);
    let mut between = jpeg.clone();
    // Behind the last pixel, but before the end.
    between.splice(jpeg.len() - 2..jpeg.len() - 2, zip.iter().copied());
    let text: &[(&[u8; 4], &[u8])] = &[
        (b"tEXt", b"Comment\0<html><script>alert(1)</script></html>"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0taken at home"),
        (b"zzZz", zip),
        (b"eXIf", &camera_notes(1)),
    ];
    let exif = [b"Exif\0\0", &camera_notes(1)[..]].concat();
    for (bytes, what) in [
        ([&jpeg[..], zip].concat(), "a zip behind a jpeg"),
        (between, "a zip in front of a jpeg's end"),
        (with_segment(&jpeg, 0xfe, html), "a comment"),
        (with_segment(&jpeg, 0xe1, &exif), "exif"),
        (
            with_segment(&jpeg, 0xe1, b"http://ns.adobe.com/xap/1.0/\0taken at home"),
            "xmp",
        ),
        (with_segment(&jpeg, 0xed, b"Photoshop 3.0\0taken at home"), "iptc"),
        (
            with_segment(&jpeg, 0xe2, &[b"ICC_PROFILE\0\x01\x01", html].concat()),
            "a script for a profile",
        ),
        (with_segment(&jpeg, 0xea, zip), "a segment of nobody's"),
        ([&png[..], html].concat(), "html behind a png"),
        (with_chunks(&png, text), "chunks"),
        (
            [&file(plain.clone(), ImageFormat::Gif)[..], html].concat(),
            "html behind a gif",
        ),
        (
            [&file(plain.clone(), ImageFormat::WebP)[..], zip].concat(),
            "a zip behind a webp",
        ),
    ] {
        let image = studio.take(bytes).await;
        studio.assert_looks(&image, UPRIGHT, 14, what).await;
        studio.assert_without(&image, &PLACE, what).await;
        studio
            .assert_without(
                &image,
                &[
                    b"PK\x03\x04",
                    b"<script>",
                    b"Exif",
                    b"adobe",
                    b"Photoshop",
                    b"zzZz",
                ],
                what,
            )
            .await;
    }
}

#[tokio::test]
async fn what_is_no_image_or_not_all_of_one_is_refused() {
    let studio = Studio::open().await;
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>"#;
    for (bytes, what) in [
        (&b""[..], "nothing"),
        (b"just text", "text"),
        (svg, "svg"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "svg with a mark"),
        (b"BM\x1e\0\0\0\0\0\0\0\x1a\0\0\0", "bmp"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0\0\0", "tiff"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avif", "avif"),
        (b"%PDF-1.7 \x89PNG\r\n\x1a\n", "pdf"),
        (b"GIF89b<script>", "almost a gif"),
    ] {
        studio.refuse(bytes.to_vec(), 415, what).await;
    }
    let plain = quadrants(200, 200);
    let whole = [
        (jpeg(&plain, 90, None), "jpeg"),
        (progressive(&plain), "progressive jpeg"),
        (file(plain.clone(), ImageFormat::Png), "png"),
        (file(plain.clone(), ImageFormat::Gif), "gif"),
        (file(plain.clone(), ImageFormat::WebP), "webp"),
        (
            webp::Encoder::from_rgb(&noise(200, 200), 200, 200)
                .encode(80.0)
                .to_vec(),
            "lossy webp",
        ),
        (animated_gif(40, 4), "animated gif"),
        (animated_webp(40, 4, &[]), "animated webp"),
    ];
    for (bytes, what) in &whole {
        for part in [bytes.len() - 3, bytes.len() / 2, bytes.len() / 4, 14] {
            let answer = studio
                .refuse(bytes[..part].to_vec(), 400, &format!("{part} bytes of {what}"))
                .await;
            assert_eq!(answer.body["code"], "VALIDATION_ERROR");
        }
    }
    studio
        .refuse(b"\xff\xd8\xff\xe0 and then nothing".to_vec(), 400, "a beginning")
        .await;
}

#[tokio::test]
async fn bombs_cost_little() {
    let studio = Studio::open().await;
    let png = file(quadrants(40, 40), ImageFormat::Png);
    let mut jpeg = jpeg(&quadrants(40, 40), 90, None);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
    let mut gif = file(quadrants(40, 40), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0x30, 0x75, 0x30, 0x75]);
    let mut frame_larger_than_all = animated_gif(40, 2);
    let at = frame_larger_than_all
        .windows(5)
        .position(|start| start == [0x2c, 0, 0, 0, 0])
        .unwrap();
    frame_larger_than_all[at + 5..at + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let mut liar = animated_webp(64, 2, &[]);
    let at = liar.windows(4).position(|name| name == b"ANMF").unwrap();
    liar[at + 14..at + 20].copy_from_slice(&[0xff, 0x0f, 0, 0xff, 0x0f, 0]);
    // A profile of a megabyte that is nothing but zeros, packed into a kilobyte.
    for (bytes, what) in [
        (claiming(&png, 30_000, 30_000), "a png of 30,000 pixels a side"),
        (claiming(&png, 4_096, 4_096), "a png that claims more than it has"),
        (claiming(&png, 0, 40), "a png without pixels"),
        (jpeg, "a jpeg of 30,000 pixels a side"),
        (gif, "a gif of 30,000 pixels a side"),
        (frame_larger_than_all, "a frame larger than its gif"),
        (animated_gif(1, 1_201), "endless frames in a gif"),
        (animated_gif(280, 1_199), "many frames"),
        (animated_webp(1, 1_201, &[]), "endless frames in a webp"),
        (liar, "a frame that claims more than it has"),
    ] {
        if what == "many frames" {
            assert_eq!(studio.take(bytes).await["fileType"], "image/gif");
            continue;
        }
        studio.refuse(bytes, 400, what).await;
    }
    let wide = animated_gif(4_000, 7);
    let refused = studio.refuse(wide, 400, "few frames of many pixels").await;
    assert!(refused.text.contains("too long an animation"), "{}", refused.text);
}
