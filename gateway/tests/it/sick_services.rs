//! PostgreSQL, Redis or S3 away: what still works, what is refused, and that it comes back by itself.

use std::time::{Duration, Instant};

use gateway::{config::Switch, features::media::sweep};
use image::ImageFormat;
use serde_json::json;
use shared::secret::Secret;
use sqlx::Connection;
use tools::client::{Socket, rest::PASSWORD};

use crate::{
    cluster::Cluster,
    images::{path_of, upload},
    pictures::{file, quadrants},
    weather::{Weather, Wire, target_of, through},
};

/// A cluster whose replicas reach PostgreSQL and Redis over wires that can be cut.
async fn wired() -> (Cluster, Wire, Wire) {
    let services = crate::cluster::services();
    let database = Wire::to(target_of(&services.database_url)).await;
    let redis = Wire::to(target_of(&services.redis_url)).await;
    let (database_at, redis_at) = (database.address, redis.address);
    let cluster = Cluster::with(|config| {
        config.database.url = Secret::new(through(config.database.url.expose(), database_at));
        config.database.acquire_timeout = Duration::from_millis(500);
        config.database.statement_timeout = Duration::from_secs(1);
        config.redis.url = Secret::new(through(config.redis.url.expose(), redis_at));
    })
    .await;
    (cluster, database, redis)
}

#[tokio::test]
async fn without_redis_everything_works_and_limits_hold_locally() {
    for weather in [Weather::Cut, Weather::Frozen] {
        let (cluster, _database, redis) = wired().await;
        let rest = cluster.rest(0);
        let ada = rest.register("ada").await.unwrap();
        redis.set(weather);
        ada.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();
        // A dead Redis is not asked again and again.
        let started = Instant::now();
        for _ in 0..20 {
            ada.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();
        }
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "{:?}",
            started.elapsed()
        );
        rest.log_in("ada", PASSWORD).await.unwrap();
        let guess = json!({"username": "ada", "password": "wrong"});
        for _ in 0..5 {
            rest.post("/api/auth/login", guess.clone())
                .await
                .unwrap()
                .expect(401)
                .unwrap();
        }
        rest.post("/api/auth/login", guess.clone())
            .await
            .unwrap()
            .expect(429)
            .unwrap();
        let mut refused = 0;
        for _ in 0..120 {
            refused += usize::from(ada.rest.get("/api/users/me").await.unwrap().status == 429);
        }
        assert!(refused > 0, "nobody is let in unlimited");
        let ready = cluster
            .ops(0)
            .get("/health/ready")
            .await
            .unwrap()
            .expect(200)
            .unwrap();
        assert_eq!(
            (&ready.body["status"], &ready.body["checks"]["redis"]),
            (&json!("degraded"), &json!("error"))
        );

        redis.set(Weather::Fine);
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster.ops(0).get("/health/ready").await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let ready = cluster.ops(0).get("/health/ready").await.unwrap();
        assert_eq!(ready.body["checks"]["redis"], "ok", "it comes back by itself");
    }
}

#[tokio::test]
async fn without_postgresql_requests_are_refused_soon_and_the_replica_is_not_ready() {
    for weather in [Weather::Cut, Weather::Frozen] {
        let (cluster, database, _redis) = wired().await;
        let rest = cluster.rest(0);
        let ada = rest.register("ada").await.unwrap();
        database.set(weather);
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        let started = Instant::now();
        let calls = (0..10).map(|_| ada.rest.get("/api/users/me"));
        for answer in futures_util::future::join_all(calls).await {
            let answer = answer.unwrap().expect(503).unwrap();
            assert_eq!(answer.body["code"], "SERVICE_UNAVAILABLE");
            assert!(answer.header("retry-after").is_some());
            assert!(!answer.text.contains("127.0.0.1"), "the cause stays inside");
        }
        assert!(
            started.elapsed() < Duration::from_secs(8),
            "{:?}",
            started.elapsed()
        );
        let ready = cluster
            .ops(0)
            .get("/health/ready")
            .await
            .unwrap()
            .expect(503)
            .unwrap();
        assert_eq!(ready.body["ready"], false);
        cluster
            .ops(0)
            .get("/health/live")
            .await
            .unwrap()
            .expect(200)
            .unwrap();

        database.set(Weather::Fine);
        let started = Instant::now();
        while ada.rest.get("/api/users/me").await.unwrap().status != 200 {
            assert!(
                started.elapsed() < Duration::from_secs(15),
                "it comes back by itself"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        cluster
            .ops(0)
            .get("/health/ready")
            .await
            .unwrap()
            .expect(200)
            .unwrap();
    }
}

#[tokio::test]
async fn a_replica_starts_without_redis_and_without_s3() {
    let cluster = Cluster::with(|config| {
        config.redis.url = Secret::new("redis://127.0.0.1:1".to_owned());
        config.storage.endpoint = "http://127.0.0.1:1".to_owned();
    })
    .await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    ada.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();
    let health = cluster.rest(0).get("/health").await.unwrap().expect(200).unwrap();
    assert_eq!(
        health.body["services"],
        json!({"database": "ok", "redis": "error", "storage": "error"})
    );
}

/// A statement that waits for a lock is given up by PostgreSQL; one whose PostgreSQL froze, by us.
#[tokio::test]
async fn no_request_hangs_behind_a_statement() {
    let (cluster, database, _redis) = wired().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    // Not over the wire that will freeze.
    let services = crate::cluster::services();
    let direct = through(
        cluster.config.database.url.expose(),
        target_of(&services.database_url),
    );
    let mut other = sqlx::PgConnection::connect(&direct).await.unwrap();
    sqlx::raw_sql("begin; select from users for update")
        .execute(&mut other)
        .await
        .unwrap();
    let update = async || {
        let started = Instant::now();
        let answer = ada
            .rest
            .put("/api/users/me", json!({"status": "away"}))
            .await
            .unwrap();
        (answer.status, started.elapsed())
    };
    let (status, took) = update().await;
    assert!(
        status == 503 && took < Duration::from_secs(5),
        "{status} after {took:?}"
    );

    let freeze = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        database.set(Weather::Frozen);
    };
    let ((status, took), ()) = tokio::join!(update(), freeze);
    assert!(
        status == 503 && took < Duration::from_secs(40),
        "{status} after {took:?}"
    );
}

/// The machine that PostgreSQL ran on vanished without a word, and another one answers at its address.
#[tokio::test]
async fn after_a_failover_nobody_waits_for_what_vanished() {
    let (cluster, database, redis) = wired().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(0).register("bob").await.unwrap();
    let ask = json!({"name": "Tea", "participantIds": [bob.id]});
    let chat = ada.rest.post("/api/chats/group", ask).await.unwrap();
    let path = format!("/api/chats/{}/messages", chat.str("id").unwrap());
    let mut socket = Socket::open(cluster.rest(1).base(), &ada.access_token)
        .await
        .unwrap();
    socket.hear("connection:success", |_| true).await.unwrap();
    let send = async |text: &str| {
        let message = json!({"content": text, "clientMessageId": text});
        ada.rest.post(&path, message).await.unwrap().status
    };
    // All connections of the first replica wait for answers that never come.
    let sends = async {
        let texts: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        futures_util::future::join_all(texts.iter().map(|text| send(text))).await
    };
    let vanish = async {
        tokio::time::sleep(Duration::from_millis(3)).await;
        database.set(Weather::Moved);
    };
    tokio::join!(sends, vanish);
    // Each connection is given up by itself, so one message may go and the next one still wait.
    let started = Instant::now();
    let send_for_sure = async |text: &str| {
        while send(text).await != 201 {
            assert!(started.elapsed() < Duration::from_secs(60), "still waiting");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    send_for_sure("first").await;
    // The log is read again, too.
    redis.set(Weather::Cut);
    send_for_sure("second").await;
    socket
        .hear("message:new", |message| message["content"] == "second")
        .await
        .unwrap();
}

#[tokio::test]
async fn while_postgresql_is_away_sockets_stay_and_are_told_to_try_again() {
    for weather in [Weather::Cut, Weather::Frozen] {
        let (cluster, database, _redis) = wired().await;
        let ada = cluster.rest(0).register("ada").await.unwrap();
        let bob = cluster.rest(0).register("bob").await.unwrap();
        let ask = json!({"name": "Tea", "participantIds": [bob.id]});
        let chat = ada.rest.post("/api/chats/group", ask).await.unwrap();
        let mut socket = Socket::open(cluster.rest(0).base(), &ada.access_token)
            .await
            .unwrap();
        socket.hear("connection:success", |_| true).await.unwrap();
        let message = json!({"chatId": chat.str("id").unwrap(), "content": "tea?", "clientMessageId": "1"});
        database.set(weather);
        let refused = socket.ask("message:send", &message).await.unwrap();
        assert_eq!(
            (&refused["success"], &refused["code"], &refused["clientMessageId"]),
            (&json!(false), &json!("SERVICE_UNAVAILABLE"), &json!("1")),
            "{weather:?}"
        );
        assert!(refused["retryAfter"].is_u64(), "{refused}");
        socket.hear("message:error", |_| true).await.unwrap();
        database.set(Weather::Fine);
        let started = Instant::now();
        // The same socket, and the same message: whether or not it was written before, it is one.
        loop {
            let answer = socket.ask("message:send", &message).await.unwrap();
            if answer["success"] == true {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(15), "{answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let path = format!("/api/chats/{}/messages", chat.str("id").unwrap());
        let history = ada.rest.get(&path).await.unwrap().expect(200).unwrap();
        let texts: Vec<&str> = history.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|message| message["contentType"] == "text")
            .filter_map(|message| message["content"].as_str())
            .collect();
        assert_eq!(texts, ["tea?"], "{weather:?}");
    }
}

/// Uploads fail clearly and soon, everything else goes on, nothing half-made stays, and what was to be removed is removed later.
#[tokio::test]
async fn without_s3_uploads_are_refused_soon_and_messages_go_on() {
    let mut config = crate::cluster::config().await;
    let storage = Wire::to(target_of(&config.storage.endpoint)).await;
    let storage_at = storage.address;
    config.storage.endpoint = format!("http://{storage_at}");
    let endpoint = config.storage.endpoint.clone();
    let cluster = Cluster::with(|config| {
        config.storage.endpoint = endpoint.clone();
        config.limits.rate_limits = Switch::Off;
    })
    .await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let chat = crate::contacts::befriend(&ada, &bob).await;
    let picture = || file(quadrants(900, 900), ImageFormat::Png);
    let image = upload(&ada, "x", picture()).await.expect(201).unwrap();
    let path = format!("/api/chats/{chat}/messages");
    let said = json!({"content": "", "contentType": "image", "metadata": {"attachments": [image["id"]]}});
    let sent = ada.rest.post(&path, said).await.unwrap().expect(201).unwrap();
    for weather in [Weather::Cut, Weather::Frozen] {
        storage.set(weather);
        let started = Instant::now();
        let uploads = (0..4).map(|_| upload(&ada, "x", picture()));
        let messages = async {
            for _ in 0..10 {
                let sent = ada.rest.post(&path, json!({"content": "Hello"})).await.unwrap();
                sent.expect(201).unwrap();
            }
        };
        let (answers, ()) = tokio::join!(futures_util::future::join_all(uploads), messages);
        for answer in answers {
            let answer = answer.expect(503).unwrap();
            assert_eq!(answer.body["code"], "SERVICE_UNAVAILABLE");
            assert!(answer.retry_after().is_some());
            assert!(!answer.text.contains("127.0.0.1"), "the cause stays inside");
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{weather:?}: {:?}",
            started.elapsed()
        );
        let started = Instant::now();
        upload(&ada, "x", picture()).await.expect(503).unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "what was learnt is known"
        );
        cluster
            .rest(0)
            .get(path_of(&image["url"]))
            .await
            .unwrap()
            .expect(503)
            .unwrap();
        storage.set(Weather::Fine);
        let back = async {
            while upload(&ada, "x", picture()).await.status != 201 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(15), back)
            .await
            .expect("it comes back by itself");
    }
    let mut database = cluster.database().await;
    let count = "select (select count(*) from attachments), (select count(*) from blobs_to_remove)";
    let (kept, to_remove): (i64, i64) = sqlx::query_as(count).fetch_one(&mut database).await.unwrap();
    assert_eq!(kept, 3, "those that were answered with success");
    assert!(
        to_remove > 0,
        "what may have been stored nevertheless is on the list"
    );

    // A message is deleted while its images cannot be: they go later.
    storage.set(Weather::Cut);
    let message = format!("/api/messages/{}", sent.str("id").unwrap());
    ada.rest.delete(&message).await.unwrap().expect(204).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    storage.set(Weather::Fine);
    cluster.clock.advance(Duration::from_secs(16 * 60));
    let ada = cluster.rest(0).log_in("ada", PASSWORD).await.unwrap();
    sweep::forgotten_blobs(&cluster.replicas[0].backend)
        .await
        .unwrap();
    let left = async {
        loop {
            let (_, to_remove): (i64, i64) = sqlx::query_as(count).fetch_one(&mut database).await.unwrap();
            if to_remove == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), left)
        .await
        .expect("everything on the list is removed");
    ada.rest
        .get(path_of(&image["url"]))
        .await
        .unwrap()
        .expect(404)
        .unwrap();
}

/// Somebody cleaned up too much: the bucket is made again when the next image comes.
#[tokio::test]
async fn a_missing_bucket_is_made() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let picture = || file(quadrants(90, 90), ImageFormat::Png);
    upload(&ada, "x", picture()).await.expect(201).unwrap();
    let root = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("s3-{}", std::process::id()));
    std::fs::remove_dir_all(root.join(&cluster.config.storage.bucket)).unwrap();
    let image = upload(&ada, "x", picture()).await.expect(201).unwrap();
    cluster
        .rest(1)
        .get(path_of(&image["url"]))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
}
