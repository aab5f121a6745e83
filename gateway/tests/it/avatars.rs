//! Pictures of people, as they go in and come out.

use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use reqwest::Method;
use tools::client::{Answer, Rest, rest::LoggedIn};

use crate::{
    cluster::Cluster,
    pictures::{claiming, file, noise, with_exif},
};

const PATH: &str = "/api/users/me/avatar";

async fn upload(who: &LoggedIn, bytes: Vec<u8>) -> Answer {
    who.rest
        .upload(Method::PATCH, PATH, "avatar", "me.jpg", "image/jpeg", bytes)
        .await
        .unwrap()
}

/// Left half red, right half blue.
fn two_halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| {
        if x < width / 2 {
            Rgb([250, 0, 0])
        } else {
            Rgb([0, 0, 250])
        }
    })
}

async fn download(door: &Rest, answer: &Answer) -> DynamicImage {
    let (base, path) = answer
        .str("avatarUrl")
        .unwrap()
        .split_at("http://localhost:3000".len());
    assert_eq!(base, "http://localhost:3000");
    let image = door.get(path).await.unwrap().expect(200).unwrap();
    assert_eq!(
        image.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(image.header("x-content-type-options"), Some("nosniff"));
    let again = door
        .with_header("if-none-match", image.header("etag").unwrap())
        .get(path)
        .await
        .unwrap();
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    image::load_from_memory(&image.bytes).unwrap()
}

#[tokio::test]
async fn a_picture_of_each_kind_becomes_a_square() {
    let cluster = Cluster::start().await;
    let door = cluster.rest(1);
    let ada = cluster.rest(0).register("ada").await.unwrap();
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Gif,
        ImageFormat::WebP,
    ] {
        let answer = upload(&ada, file(two_halves(800, 400), format))
            .await
            .expect(200)
            .unwrap();
        assert_eq!(answer.body["user"]["avatarUrl"], answer.body["avatarUrl"]);
        let picture = download(&door, &answer).await.to_rgb8();
        assert_eq!(picture.dimensions(), (300, 300));
        let (left, right) = (picture.get_pixel(20, 150), picture.get_pixel(280, 150));
        assert!(
            left[0] > 200 && left[2] < 50 && right[2] > 200 && right[0] < 50,
            "{format:?}: {left:?} {right:?}"
        );
    }
    let me = ada.rest.get("/api/users/me").await.unwrap();
    assert!(
        me.body["avatarUrl"]
            .as_str()
            .unwrap()
            .starts_with("http://localhost:3000/media/")
    );
    let clear = RgbaImage::from_pixel(10, 10, Rgba([0, 0, 0, 0]));
    let picture = download(
        &door,
        &upload(&ada, file(clear, ImageFormat::Png))
            .await
            .expect(200)
            .unwrap(),
    )
    .await;
    assert_eq!(picture.dimensions(), (10, 10), "nothing is blown up");
    assert_eq!(
        picture.to_rgba8().get_pixel(5, 5)[3],
        0,
        "what was clear stays clear"
    );
}

/// A photograph taken with the camera turned: stored lying, with a note that says how to hold it, and where it was taken.
#[tokio::test]
async fn a_picture_is_turned_upright_and_loses_its_notes() {
    let cluster = Cluster::start().await;
    let door = cluster.rest(1);
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let photo = file(two_halves(400, 400), ImageFormat::Jpeg);
    // "Turn it by 90 degrees to the right", and a comment.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0taken at home";
    let mut photo = with_exif(&photo, exif);
    photo.extend_from_slice(b"<script>alert(1)</script>");
    let answer = upload(&ada, photo).await.expect(200).unwrap();
    let picture = download(&door, &answer).await.to_rgb8();
    let (top, bottom) = (picture.get_pixel(150, 20), picture.get_pixel(150, 280));
    assert!(
        top[0] > 200 && bottom[2] > 200,
        "what was left is on top: {top:?} {bottom:?}"
    );
    let path = &answer.str("avatarUrl").unwrap()["http://localhost:3000".len()..];
    let bytes = cluster.rest(0).get(path).await.unwrap().bytes;
    for trace in [&b"taken at home"[..], b"<script>", b"Exif"] {
        assert!(!bytes.windows(trace.len()).any(|window| window == trace));
    }
}

/// Noise does not compress: a picture of nearly ten megabytes, and one that is long and thin.
#[tokio::test]
async fn large_and_thin_pictures_are_taken() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let large = file(noise(1_800, 1_800), ImageFormat::Png);
    assert!((9 << 20..10 << 20).contains(&large.len()), "{}", large.len());
    upload(&ada, large).await.expect(200).unwrap();
    let started = std::time::Instant::now();
    for (width, height) in [(4_096, 1), (1, 4_096), (1, 1)] {
        upload(&ada, file(two_halves(width, height), ImageFormat::Png))
            .await
            .expect(200)
            .unwrap();
    }
    assert!(
        started.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn what_is_no_picture_is_refused() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = gateway::config::Switch::Off).await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let good = file(two_halves(40, 40), ImageFormat::Png);
    let bomb = claiming(&good, 30_000, 30_000);
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>"#.to_vec();
    for (bytes, status) in [
        (Vec::new(), 415),
        (b"just text".to_vec(), 415),
        (svg, 415),
        (b"BM\x1e\0\0\0".to_vec(), 415),
        (good[..good.len() / 2].to_vec(), 400),
        (b"\xff\xd8\xff\xe0 and then nothing".to_vec(), 400),
        (bomb, 400),
        (file(two_halves(4_097, 10), ImageFormat::Png), 400),
        (vec![0; 10 * 1024 * 1024 + 1], 413),
        (vec![0; 12 * 1024 * 1024], 413),
    ] {
        let answer = upload(&ada, bytes).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.body["message"].is_string());
    }
    let other_field = ada
        .rest
        .upload(Method::PATCH, PATH, "picture", "x.png", "image/png", good.clone())
        .await
        .unwrap();
    assert_eq!(
        (other_field.status, &other_field.body["details"][0]["field"]),
        (400, &serde_json::json!("avatar"))
    );
    let no_form = ada
        .rest
        .raw(Method::PATCH, PATH, Some("image/png"), good)
        .await
        .unwrap();
    assert_eq!(no_form.status, 415);
    let cut = ada
        .rest
        .raw(
            Method::PATCH,
            PATH,
            Some("multipart/form-data; boundary=x"),
            "--x\r\nContent-Disp",
        )
        .await
        .unwrap();
    assert_eq!(cut.status, 400);
    for key in [
        "..%2f..%2fetc%2fpasswd",
        "short",
        "A".repeat(32).as_str(),
        "%00",
        "a/b",
    ] {
        cluster
            .rest(0)
            .get(&format!("/media/{key}"))
            .await
            .unwrap()
            .expect(404)
            .unwrap();
    }
}
