//! Images in messages: from the upload to everybody who sees them, and until they are gone.

use std::time::Duration;

use gateway::{config::Switch, features::media::sweep};
use image::{DynamicImage, ImageFormat};
use reqwest::{Method, multipart};
use serde_json::{Value, json};
use tools::client::{
    Answer, Rest, Socket,
    rest::{LoggedIn, PASSWORD, answer},
};

use crate::{
    cluster::Cluster,
    contacts::befriend,
    pictures::{BLUE, GREEN, RED, WHITE, assert_looks, file, quadrants},
};

pub const UPLOAD: &str = "/api/attachments/upload";

/// A picture as a browser would send it.
pub async fn upload(who: &LoggedIn, name: &str, bytes: Vec<u8>) -> Answer {
    who.rest
        .upload(Method::POST, UPLOAD, "image", name, "image/jpeg", bytes)
        .await
        .unwrap()
}

pub async fn uploaded(who: &LoggedIn) -> Value {
    let picture = file(quadrants(1_000, 600), ImageFormat::Jpeg);
    upload(who, "holiday.jpg", picture)
        .await
        .expect(201)
        .unwrap()
        .body
}

/// As the client names what it uploaded.
pub fn of_client(image: &Value) -> Value {
    json!({"url": image["url"], "thumbnailUrl": image["thumbnailUrl"], "originalUrl": image["url"]})
}

pub fn path_of(address: &Value) -> &str {
    let address = address.as_str().unwrap();
    address.strip_prefix("http://localhost:3000").unwrap()
}

pub async fn shown(door: &Rest, address: &Value) -> DynamicImage {
    let answer = door.get(path_of(address)).await.unwrap().expect(200).unwrap();
    image::load_from_memory(&answer.bytes).unwrap()
}

async fn send(who: &LoggedIn, chat: &str, body: Value) -> Answer {
    let path = format!("/api/chats/{chat}/messages");
    who.rest.post(&path, body).await.unwrap()
}

async fn history(who: &LoggedIn, chat: &str) -> Vec<Value> {
    let page = who
        .rest
        .get(&format!("/api/chats/{chat}/messages"))
        .await
        .unwrap();
    page.expect(200).unwrap().body["data"].as_array().unwrap().clone()
}

async fn listen(cluster: &Cluster, replica: usize, who: &LoggedIn) -> Socket {
    let mut socket = Socket::open(cluster.rest(replica).base(), &who.access_token)
        .await
        .unwrap();
    socket.hear("connection:success", |_| true).await.unwrap();
    socket
}

async fn pair(cluster: &Cluster) -> (LoggedIn, LoggedIn, String) {
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let chat = befriend(&ada, &bob).await;
    (ada, bob, chat)
}

#[tokio::test]
async fn an_image_goes_from_one_replica_to_everybody_on_the_other() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = pair(&cluster).await;
    let mut ear = listen(&cluster, 1, &bob).await;
    let image = uploaded(&ada).await;
    assert_eq!(image["attachment"]["id"], image["id"]);
    assert_eq!(image["attachments"], json!([image["attachment"]]));
    assert_eq!(
        (&image["fileName"], &image["fileType"], &image["messageId"]),
        (&json!("holiday.jpg"), &json!("image/jpeg"), &Value::Null)
    );
    assert_eq!((&image["width"], &image["height"]), (&json!(1_000), &json!(600)));
    assert_eq!(image["originalUrl"], image["url"]);
    for (address, (width, height)) in [
        ("url", (1_000, 600)),
        ("mediumUrl", (800, 480)),
        ("thumbnailUrl", (300, 300)),
    ] {
        let picture = shown(&cluster.rest(1), &image[address]).await;
        assert_eq!((picture.width(), picture.height()), (width, height), "{address}");
        assert_looks(&picture, [RED, GREEN, BLUE, WHITE], 12, address);
    }
    let original = cluster.rest(0).get(path_of(&image["url"])).await.unwrap();
    assert_eq!(image["fileSize"], json!(original.bytes.len()));

    let metadata = json!({"images": [of_client(&image)], "sentAt": 12.50});
    let said = json!({"content": "", "contentType": "image", "metadata": metadata});
    let sent = send(&ada, &chat, said).await.expect(201).unwrap().body;
    let told = ear.hear("message:new", |_| true).await.unwrap();
    let read = history(&bob, &chat).await.pop().unwrap();
    let chats = bob.rest.get("/api/chats").await.unwrap().body;
    for message in [
        &sent,
        &sent["message"],
        &told,
        &read,
        &chats["chats"][0]["lastMessage"],
    ] {
        assert_eq!(message["contentType"], "image");
        assert_eq!(message["content"], "");
        assert_eq!(message["metadata"], metadata);
        let [shown] = message["attachments"].as_array().unwrap().as_slice() else {
            panic!("{message}")
        };
        assert_eq!(shown["messageId"], sent["id"]);
        assert_eq!((&shown["id"], &shown["url"]), (&image["id"], &image["url"]));
    }
}

#[tokio::test]
async fn images_go_over_sockets_too_by_ids_or_by_addresses() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = pair(&cluster).await;
    let mut mouth = listen(&cluster, 0, &ada).await;
    let mut ear = listen(&cluster, 1, &bob).await;
    let (one, two) = (uploaded(&ada).await, uploaded(&ada).await);
    let ids = json!({"attachments": [two["id"], one["id"]], "mood": 1.50});
    let said = json!({"chatId": chat, "content": "look", "contentType": "image", "metadata": ids});
    let ack = mouth.ask("message:send", &said).await.unwrap();
    assert_eq!(ack["success"], true, "{ack}");
    let told = ear.hear("message:new", |_| true).await.unwrap();
    assert_eq!(ack["message"]["attachments"], told["attachments"]);
    let shown: Vec<_> = told["attachments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| &image["id"])
        .collect();
    assert_eq!(
        shown,
        [&two["id"], &one["id"]],
        "in the order in which they were named"
    );
    // The client shows what it finds here.
    assert_eq!(
        told["metadata"]["images"],
        json!([of_client(&two), of_client(&one)])
    );
    assert_eq!(
        (&told["metadata"]["mood"], &told["metadata"]["attachments"]),
        (&json!(1.50), &ids["attachments"])
    );

    // A message with images is an image message, whatever it calls itself.
    let three = uploaded(&ada).await;
    let said = json!({"chatId": chat, "content": "text", "metadata": {"images": [of_client(&three)]}});
    let ack = mouth.ask("message:send", &said).await.unwrap();
    assert_eq!(ack["message"]["contentType"], "image", "{ack}");
    let told = ear
        .hear("message:new", |message| message["content"] == "text")
        .await
        .unwrap();
    assert_eq!(told["attachments"][0]["id"], three["id"]);

    for wrong in [
        json!({"chatId": chat, "content": "", "contentType": "image"}),
        json!({"chatId": chat, "content": ""}),
        json!({"chatId": chat, "content": "x", "contentType": "video"}),
        json!({"chatId": chat, "content": "x", "metadata": {"images": [{"url": "https://elsewhere.example/x.png"}]}}),
    ] {
        let ack = mouth.ask("message:send", &wrong).await.unwrap();
        assert_eq!(
            (&ack["success"], &ack["code"]),
            (&json!(false), &json!("VALIDATION_ERROR")),
            "{wrong}: {ack}"
        );
    }
}

#[tokio::test]
async fn a_retry_is_one_message_with_its_images() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = pair(&cluster).await;
    for round in 0..4 {
        let image = uploaded(&ada).await;
        let said = json!({"content": "", "contentType": "image", "clientMessageId": format!("key-{round}"),
            "metadata": {"images": [of_client(&image)]}});
        let twin = cluster.rest(1).with_token(&ada.access_token);
        let path = format!("/api/chats/{chat}/messages");
        let (a, b) = tokio::join!(send(&ada, &chat, said.clone()), twin.post(&path, said.clone()));
        let (a, b) = (a, b.unwrap());
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201], "{} {}", a.text, b.text);
        assert_eq!(a["id"], b["id"]);
        let later = send(&ada, &chat, said).await.expect(200).unwrap();
        for answer in [&a, &b, &later] {
            assert_eq!(answer["attachments"][0]["id"], image["id"], "{}", answer.text);
        }
    }
    assert_eq!(history(&bob, &chat).await.len(), 4);
}

#[tokio::test]
async fn an_image_belongs_to_its_uploader_until_a_message_uses_it() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = Switch::Off).await;
    let (ada, bob, chat) = pair(&cluster).await;
    let eve = cluster.rest(0).register("eve").await.unwrap();
    let image = uploaded(&ada).await;
    let other = uploaded(&ada).await;
    let attachment = format!("/api/attachments/{}", image["id"].as_str().unwrap());
    let mine = ada.rest.get(&attachment).await.unwrap().expect(200).unwrap();
    assert_eq!(
        (&mine["id"], &mine["attachment"]["url"]),
        (&image["id"], &image["url"])
    );
    for stranger in [&bob, &eve] {
        stranger.rest.get(&attachment).await.unwrap().expect(404).unwrap();
        stranger
            .rest
            .delete(&attachment)
            .await
            .unwrap()
            .expect(404)
            .unwrap();
    }

    let with = |metadata: Value| json!({"content": "", "contentType": "image", "metadata": metadata});
    let by_id = with(json!({"attachments": [image["id"]]}));
    let by_address = with(json!({"images": [of_client(&image)]}));
    for stolen in [&by_id, &by_address] {
        let refused = send(&bob, &chat, stolen.clone()).await.expect(400).unwrap();
        assert!(
            refused.text.contains("is not an image that you uploaded"),
            "{}",
            refused.text
        );
    }
    let mixed = json!({"url": image["url"], "thumbnailUrl": other["thumbnailUrl"]});
    let only_small = json!({"url": image["thumbnailUrl"]});
    let script = json!({"url": "javascript:alert(1)"});
    let elsewhere = json!({"url": image["url"], "originalUrl": "https://elsewhere.example/pixel.gif"});
    let unknown = json!({"url": "http://localhost:3000/media/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.jpg"});
    for wrong in [mixed, only_small, script, elsewhere, unknown] {
        send(&ada, &chat, with(json!({"images": [wrong]})))
            .await
            .expect(400)
            .unwrap();
    }
    let mut many = Vec::new();
    for _ in 0..6 {
        many.push(of_client(&uploaded(&ada).await));
    }
    send(&ada, &chat, with(json!({"images": many})))
        .await
        .expect(400)
        .unwrap();
    let five = send(&ada, &chat, with(json!({"images": many[..5]})))
        .await
        .expect(201)
        .unwrap();
    assert_eq!(five["attachments"].as_array().unwrap().len(), 5);

    let sent = send(&ada, &chat, by_id.clone()).await.expect(201).unwrap();
    for again in [by_id, by_address] {
        let refused = send(&ada, &chat, again).await.expect(409).unwrap();
        assert_eq!(refused["reason"], "ATTACHMENT_USED");
    }
    let seen = bob.rest.get(&attachment).await.unwrap().expect(200).unwrap();
    assert_eq!(seen["messageId"], sent["id"]);
    eve.rest.get(&attachment).await.unwrap().expect(404).unwrap();
    let refused = bob.rest.delete(&attachment).await.unwrap().expect(403).unwrap();
    assert_eq!(refused["reason"], "NOT_UPLOADER");
    let refused = ada.rest.delete(&attachment).await.unwrap().expect(409).unwrap();
    assert_eq!(refused["reason"], "ATTACHMENT_USED");
    eve.rest.delete(&attachment).await.unwrap().expect(404).unwrap();

    let unused = format!("/api/attachments/{}", other["id"].as_str().unwrap());
    ada.rest.delete(&unused).await.unwrap().expect(204).unwrap();
    ada.rest.get(&unused).await.unwrap().expect(404).unwrap();
    ada.rest.delete(&unused).await.unwrap().expect(404).unwrap();
    send(&ada, &chat, with(json!({"attachments": [other["id"]]})))
        .await
        .expect(400)
        .unwrap();
    gone(&cluster, &other).await;
}

#[tokio::test]
async fn whoever_left_a_chat_sees_no_more_of_its_images() {
    let cluster = Cluster::start().await;
    let (ada, bob, _) = pair(&cluster).await;
    let group = json!({"name": "Photos", "participantIds": [bob.id]});
    let group = ada.rest.post("/api/chats/group", group).await.unwrap();
    let group = group.str("id").unwrap();
    let image = uploaded(&bob).await;
    let said = json!({"content": "mine", "contentType": "image", "metadata": {"attachments": [image["id"]]}});
    send(&bob, group, said).await.expect(201).unwrap();
    let attachment = format!("/api/attachments/{}", image["id"].as_str().unwrap());
    ada.rest.get(&attachment).await.unwrap().expect(200).unwrap();
    bob.rest
        .post(&format!("/api/chats/{group}/leave"), None)
        .await
        .unwrap()
        .expect(204)
        .unwrap();
    let refused = bob.rest.get(&attachment).await.unwrap().expect(403).unwrap();
    assert_eq!(refused["reason"], "CHAT_LEFT");
    bob.rest.delete(&attachment).await.unwrap().expect(403).unwrap();
}

/// All versions of an image are gone from the storage, or will be within moments.
async fn gone(cluster: &Cluster, image: &Value) {
    for address in ["url", "mediumUrl", "thumbnailUrl"] {
        let asked = async {
            while cluster
                .rest(1)
                .get(path_of(&image[address]))
                .await
                .unwrap()
                .status
                != 404
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), asked).await;
        assert!(in_time.is_ok(), "{address} is still there");
    }
}

#[tokio::test]
async fn a_deleted_message_takes_its_images_with_it() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = pair(&cluster).await;
    let (image, kept) = (uploaded(&ada).await, uploaded(&ada).await);
    let with = |image: &Value| json!({"content": "", "contentType": "image", "metadata": {"images": [of_client(image)]}});
    let sent = send(&ada, &chat, with(&image)).await.expect(201).unwrap();
    let other = send(&ada, &chat, with(&kept)).await.expect(201).unwrap();
    let id = sent.str("id").unwrap();
    ada.rest
        .delete(&format!("/api/messages/{id}"))
        .await
        .unwrap()
        .expect(204)
        .unwrap();
    let seen = history(&bob, &chat).await;
    let (deleted, still) = (&seen[0], &seen[1]);
    assert_eq!(
        (
            &deleted["attachments"],
            &deleted["metadata"],
            &deleted["contentType"]
        ),
        (&json!([]), &json!({}), &json!("text"))
    );
    assert_eq!(still["attachments"], other["attachments"]);
    let attachment = format!("/api/attachments/{}", image["id"].as_str().unwrap());
    ada.rest.get(&attachment).await.unwrap().expect(404).unwrap();
    // No copy of its addresses is left either: not in the log, and not where images are removed from.
    gone(&cluster, &image).await;
    let mut database = cluster.database().await;
    let key = path_of(&image["url"]).trim_start_matches("/media/");
    for query in [
        "select count(*) from events where body like '%' || $1 || '%'",
        "select count(*) from messages where metadata::text like '%' || $1 || '%'",
        "select count(*) from blobs_to_remove where key = $1",
    ] {
        let found: i64 = sqlx::query_scalar(query)
            .bind(key)
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(found, 0, "{query}");
    }
    shown(&cluster.rest(0), &kept["url"]).await;
}

#[tokio::test]
async fn what_nobody_refers_to_is_removed_after_a_while() {
    let cluster = Cluster::start().await;
    let (ada, _, chat) = pair(&cluster).await;
    let backend = &cluster.replicas[0].backend;
    let (used, unused) = (uploaded(&ada).await, uploaded(&ada).await);
    let said = json!({"content": "", "contentType": "image", "metadata": {"attachments": [used["id"]]}});
    send(&ada, &chat, said).await.expect(201).unwrap();
    cluster.clock.advance(Duration::from_secs(23 * 3_600));
    sweep::unused_uploads(backend).await.unwrap();
    shown(&cluster.rest(1), &unused["url"]).await;
    cluster.clock.advance(Duration::from_secs(2 * 3_600));
    sweep::unused_uploads(backend).await.unwrap();
    gone(&cluster, &unused).await;
    shown(&cluster.rest(1), &used["url"]).await;
    let ada = cluster.rest(0).log_in("ada", PASSWORD).await.unwrap();
    let said = json!({"content": "", "contentType": "image", "metadata": {"attachments": [unused["id"]]}});
    send(&ada, &chat, said).await.expect(400).unwrap();
}

#[tokio::test]
async fn several_images_are_taken_together_or_not_at_all() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = Switch::Off).await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let good = || file(quadrants(64, 64), ImageFormat::Png);
    let form = |files: Vec<(&'static str, Vec<u8>)>| {
        let parts = files
            .into_iter()
            .map(|(field, bytes)| (field, multipart::Part::bytes(bytes).file_name("x.png")));
        parts.fold(
            multipart::Form::new().text("note", "hello"),
            |form, (field, part)| form.part(field, part),
        )
    };
    let send = async |files| {
        answer(ada.rest.request(Method::POST, UPLOAD).multipart(form(files)))
            .await
            .unwrap()
    };
    let fields = ["images", "images", "image", "file", "images"];
    let all = send(fields.map(|field| (field, good())).to_vec())
        .await
        .expect(201)
        .unwrap();
    assert_eq!(all["attachments"].as_array().unwrap().len(), 5);
    assert_eq!(all["attachments"][0], all["attachment"]);
    let mut database = cluster.database().await;
    let mut count = async || -> i64 {
        sqlx::query_scalar("select count(*) from attachments")
            .fetch_one(&mut database)
            .await
            .unwrap()
    };
    assert_eq!(count().await, 5);

    send(vec![("images", good()); 6]).await.expect(400).unwrap();
    send(vec![
        ("images", good()),
        ("images", b"no picture at all".to_vec()),
    ])
    .await
    .expect(415)
    .unwrap();
    send(vec![("images", good()), ("images", good()[..90].to_vec())])
        .await
        .expect(400)
        .unwrap();
    send(vec![("picture", good())]).await.expect(400).unwrap();
    send(Vec::new()).await.expect(400).unwrap();
    assert_eq!(count().await, 5);
    // What was stored for those that were refused is on the list, and goes when nobody can claim it any more.
    let left: Vec<String> = sqlx::query_scalar("select key from blobs_to_remove")
        .fetch_all(&mut cluster.database().await)
        .await
        .unwrap();
    assert_eq!(left.len(), (5 + 1 + 1) * 3);
    let door = cluster.rest(1);
    assert_eq!(
        door.get(&format!("/media/{}", left[0])).await.unwrap().status,
        200
    );
    cluster.clock.advance(Duration::from_secs(16 * 60));
    sweep::forgotten_blobs(&cluster.replicas[1].backend)
        .await
        .unwrap();
    for key in left {
        door.get(&format!("/media/{key}"))
            .await
            .unwrap()
            .expect(404)
            .unwrap();
    }
    shown(&door, &all["url"]).await;
}

#[tokio::test]
async fn ten_uploads_a_minute_whatever_is_in_them() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let twin = cluster.rest(1).with_token(&ada.access_token);
    let small = file(quadrants(8, 8), ImageFormat::Png);
    for number in 0..10 {
        let door = if number % 2 == 0 { &ada.rest } else { &twin };
        let bytes = if number < 3 {
            b"not a picture".to_vec()
        } else {
            small.clone()
        };
        let answer = door
            .upload(Method::POST, UPLOAD, "file", "x", "image/png", bytes)
            .await
            .unwrap();
        assert_eq!(
            answer.status,
            if number < 3 { 415 } else { 201 },
            "{}",
            answer.text
        );
    }
    for door in [&ada.rest, &twin] {
        let refused = door
            .upload(Method::POST, UPLOAD, "file", "x", "image/png", small.clone())
            .await
            .unwrap();
        assert_eq!(
            (refused.status, &refused["code"]),
            (429, &json!("RATE_LIMIT_EXCEEDED")),
            "{}",
            refused.text
        );
        assert!(refused.retry_after().is_some());
    }
}

#[tokio::test]
async fn groups_have_pictures() {
    let cluster = Cluster::start().await;
    let (ada, bob, direct) = pair(&cluster).await;
    let eve = cluster.rest(0).register("eve").await.unwrap();
    let group = json!({"name": "Photos", "participantIds": [bob.id]});
    let group = ada.rest.post("/api/chats/group", group).await.unwrap();
    let group = group.str("id").unwrap();
    let mut ear = listen(&cluster, 1, &bob).await;
    let change = async |who: &LoggedIn, chat: &str, field: &str| {
        let path = format!("/api/chats/{chat}/avatar");
        let picture = file(quadrants(900, 500), ImageFormat::Png);
        who.rest
            .upload(Method::PATCH, &path, field, "us.png", "image/png", picture)
            .await
            .unwrap()
    };
    change(&bob, group, "avatar").await.expect(403).unwrap();
    change(&eve, group, "avatar").await.expect(404).unwrap();
    change(&ada, &direct, "avatar").await.expect(403).unwrap();
    change(&ada, group, "image").await.expect(400).unwrap();
    let changed = change(&ada, group, "avatar").await.expect(200).unwrap();
    assert_eq!(changed["avatarUrl"], changed["chat"]["avatarUrl"]);
    let picture = shown(&cluster.rest(1), &changed["avatarUrl"]).await;
    assert_eq!((picture.width(), picture.height()), (300, 300));
    let told = ear.hear("chat:updated", |_| true).await.unwrap();
    assert_eq!(
        (&told["avatarUrl"], &told["name"]),
        (&changed["avatarUrl"], &json!("Photos"))
    );
    let said = ear.hear("message:new", |_| true).await.unwrap();
    assert_eq!(
        said["metadata"]["system"],
        json!({"kind": "group_picture_changed", "actorId": ada.id})
    );

    let again = change(&ada, group, "avatar").await.expect(200).unwrap();
    assert_ne!(again["avatarUrl"], changed["avatarUrl"]);
    let old = json!({"url": changed["avatarUrl"], "mediumUrl": changed["avatarUrl"], "thumbnailUrl": changed["avatarUrl"]});
    gone(&cluster, &old).await;
}
