//! The addresses of images, as browsers and caches use them.

use image::ImageFormat;
use tools::client::{Answer, Rest};

use crate::{
    cluster::Cluster,
    images::{path_of, upload},
    pictures::{file, noise},
};

async fn get(door: &Rest, path: &str, headers: &[(&str, &str)]) -> Answer {
    let door = headers
        .iter()
        .fold(door.clone(), |door, (name, value)| door.with_header(name, value));
    door.get(path).await.unwrap()
}

#[tokio::test]
async fn images_are_served_whole_in_parts_and_not_again() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let image = upload(&ada, "x", file(noise(300, 300), ImageFormat::Png))
        .await
        .expect(201)
        .unwrap();
    let (path, door) = (path_of(&image["url"]), cluster.rest(1));
    let whole = get(&door, path, &[]).await.expect(200).unwrap();
    let size = whole.bytes.len();
    assert_eq!(image["fileSize"], size);
    for (name, value) in [
        ("content-type", "image/png"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("content-disposition", "inline"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("accept-ranges", "bytes"),
        ("content-length", &size.to_string()),
    ] {
        assert_eq!(whole.header(name), Some(value), "{name}");
    }
    let tag = whole.header("etag").unwrap();
    let head = door.head(path).await.unwrap().expect(200).unwrap();
    for name in [
        "content-type",
        "content-length",
        "etag",
        "cache-control",
        "x-content-type-options",
    ] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
    assert!(head.bytes.is_empty());
    for known in [tag, &format!("\"other\", {tag}"), "*"] {
        let answer = get(&door, path, &[("if-none-match", known)])
            .await
            .expect(304)
            .unwrap();
        assert!(answer.bytes.is_empty() && answer.header("etag") == Some(tag));
        assert_eq!(answer.header("cache-control"), whole.header("cache-control"));
    }
    get(&door, path, &[("if-none-match", "\"other\"")])
        .await
        .expect(200)
        .unwrap();

    let last = size - 1;
    for (range, from, to) in [
        ("bytes=0-0", 0, 0),
        ("bytes=10-99", 10, 99),
        ("bytes=100-", 100, last),
        ("bytes=-100", size - 100, last),
        ("bytes=50-999999999", 50, last),
    ] {
        for condition in [None, Some(("if-range", tag))] {
            let headers: Vec<_> = [("range", range)].into_iter().chain(condition).collect();
            let part = get(&door, path, &headers).await.expect(206).unwrap();
            assert!(part.bytes == whole.bytes[from..=to], "{range}");
            assert_eq!(
                part.header("content-range"),
                Some(&*format!("bytes {from}-{to}/{size}"))
            );
            assert_eq!(part.header("content-type"), Some("image/png"));
        }
    }
    for all in ["bytes=5-2", "bytes=0-1,4-5", "lines=0-1", "nonsense"] {
        assert_eq!(
            get(&door, path, &[("range", all)])
                .await
                .expect(200)
                .unwrap()
                .bytes
                .len(),
            size,
            "{all}"
        );
    }
    let changed = [("range", "bytes=0-9"), ("if-range", "\"other\"")];
    assert_eq!(
        get(&door, path, &changed).await.expect(200).unwrap().bytes.len(),
        size
    );
    let beyond = get(&door, path, &[("range", &format!("bytes={size}-"))])
        .await
        .expect(416)
        .unwrap();
    assert_eq!(beyond.header("content-range"), Some(&*format!("bytes */{size}")));
}

#[tokio::test]
async fn only_whoever_knows_an_address_finds_anything() {
    let cluster = Cluster::start().await;
    let door = cluster.rest(0);
    let ada = door.register("ada").await.unwrap();
    let image = upload(&ada, "secret-plan.png", file(noise(30, 30), ImageFormat::Png))
        .await
        .expect(201)
        .unwrap();
    let keys: Vec<_> = ["url", "mediumUrl", "thumbnailUrl"]
        .map(|address| path_of(&image[address]).trim_start_matches("/media/").to_owned())
        .to_vec();
    for key in &keys {
        assert_eq!(key.split_once('.').unwrap().0.len(), 32, "192 random bits");
        assert!(!key.contains("secret") && !key.contains(ada.id.as_str()));
        assert_eq!(
            keys.iter().filter(|other| other[..8] == key[..8]).count(),
            1,
            "one says nothing of the others"
        );
    }
    let unknown = format!("{}.png", "A".repeat(32));
    for path in [
        "",
        "..%2f..%2fetc%2fpasswd",
        "short",
        &"A".repeat(32),
        "%00",
        "a/b",
        &unknown,
        "?list-type=2",
        &keys[0][..20],
    ] {
        let path = format!("/media/{path}");
        door.get(&path).await.unwrap().expect(404).unwrap();
        door.head(&path).await.unwrap().expect(404).unwrap();
    }
}

#[tokio::test]
async fn addresses_may_be_those_of_a_cdn() {
    let cluster = Cluster::with(|config| {
        config.storage.public_url = Some("https://cdn.example/images/".to_owned());
    })
    .await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let image = upload(&ada, "x", file(noise(30, 30), ImageFormat::Png))
        .await
        .expect(201)
        .unwrap();
    let key = image
        .str("url")
        .unwrap()
        .strip_prefix("https://cdn.example/images/")
        .unwrap();
    cluster
        .rest(1)
        .get(&format!("/media/{key}"))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
}
