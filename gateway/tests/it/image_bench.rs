//! What images cost, measured with the program itself: how long a large photograph takes, how much memory many at once take, and
//! what messages notice of them.
//!
//!     cargo build --release --bin gateway
//!     GATEWAY=$PWD/target/release/gateway cargo test --workspace --test it -- --ignored --nocapture image_bench

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use image::{Rgb, RgbImage};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};
use tools::client::{Rest, Socket, rest::LoggedIn};

use crate::{
    contacts::befriend,
    images::{path_of, upload},
    pictures::{noise, progressive_at},
    program::command,
};

const AT_ONCE: usize = 8;

/// A replica in a process of its own.
struct Replica {
    process: Child,
    rest: Rest,
}

impl Replica {
    async fn start(config: &gateway::config::Config) -> Self {
        let mut process = command(config, &["serve"])
            .env("RATE_LIMITS", "off")
            .env("LOG_LEVEL", "gateway=info")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = log.next_line().await.unwrap().expect("it serves");
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "Serving" {
                break line["address"].as_str().unwrap().to_owned();
            }
        };
        // Nobody reads on, but somebody must take it.
        let drain = async move { while let Ok(Some(_)) = log.next_line().await {} };
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        tokio::spawn(drain);
        Self {
            process,
            rest: Rest::new(format!("http://{address}")),
        }
    }

    /// MiB in memory: now, and at most so far.
    fn resident(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id().unwrap())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

/// As large as may be, both in pixels and in bytes: sky, and something like leaves.
fn photograph(encode: impl Fn(&RgbImage) -> Vec<u8>) -> Vec<u8> {
    const SIDE: u32 = 4_096;
    let leaves = noise(SIDE, SIDE);
    let (mut low, mut high) = (0.0_f32, 255.0_f32);
    let mut best = Vec::new();
    // As much contrast as fits.
    for _ in 0..7 {
        let contrast = f32::midpoint(low, high);
        let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
            let leaf = leaves
                .get_pixel(x, y)
                .0
                .map(|sample| (f32::from(sample) - 128.0) / 128.0 * contrast);
            let sky = [x / 32, y / 24, 200 - x / 48].map(|sample| 20.0 + sample as f32);
            Rgb([0, 1, 2].map(|c| (sky[c] + leaf[c]).clamp(0.0, 255.0) as u8))
        });
        let bytes = encode(&picture);
        if bytes.len() <= 10 << 20 {
            (low, best) = (contrast, bytes);
        } else {
            high = contrast;
        }
    }
    best
}

async fn timed_upload(who: &LoggedIn, photo: &[u8]) -> Duration {
    let started = Instant::now();
    let answer = upload(who, "photo.jpg", photo.to_vec()).await;
    // Whoever comes when there is no room is told to come back, and does.
    if answer.status == 429 {
        tokio::time::sleep(answer.retry_after().unwrap()).await;
    } else {
        answer.expect(201).unwrap();
    }
    started.elapsed()
}

/// How long messages take from one replica to the other, while `meanwhile` goes on.
async fn delivery(ada: &LoggedIn, bob: &LoggedIn, chat: &str, count: usize) -> Vec<Duration> {
    let mut mouth = Socket::open(ada.rest.base(), &ada.access_token).await.unwrap();
    let mut ear = Socket::open(bob.rest.base(), &bob.access_token).await.unwrap();
    mouth.hear("connection:success", |_| true).await.unwrap();
    ear.hear("connection:success", |_| true).await.unwrap();
    let mut took = Vec::new();
    for number in 0..count {
        let text = format!("{number} of {count}, {}", uuid::Uuid::new_v4());
        let said = Instant::now();
        mouth.emit("message:send", &json!({"chatId": chat, "content": text}));
        ear.hear("message:new", |message| message["content"] == text.as_str())
            .await
            .unwrap();
        took.push(said.elapsed());
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    took.sort_unstable();
    took
}

fn say(what: &str, took: &[Duration]) {
    let at = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1_000.0;
    println!(
        "{what:<52} p50 {:>7.1} ms   p99 {:>7.1} ms   max {:>7.1} ms",
        at(50),
        at(99),
        at(100)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, for minutes: asked for by name"]
async fn image_bench() {
    let mut config = crate::cluster::config().await;
    config.database.max_connections = 20;
    let replicas = [Replica::start(&config).await, Replica::start(&config).await];
    let ada = replicas[0].rest.register("ada").await.unwrap();
    let bob = replicas[1].rest.register("bob").await.unwrap();
    let chat = befriend(&ada, &bob).await;
    let photos = [
        (
            "a photograph",
            photograph(|picture| progressive_at(picture, 90, false)),
        ),
        (
            "a progressive photograph",
            photograph(|picture| progressive_at(picture, 90, true)),
        ),
    ];
    println!("In memory before: {} MiB", replicas[0].resident().0);
    for (name, photo) in &photos {
        let megabytes = photo.len() as f64 / f64::from(1 << 20);
        let mut took = Vec::new();
        for _ in 0..7 {
            took.push(timed_upload(&ada, photo).await);
        }
        took.sort_unstable();
        say(
            &format!("{name} of {megabytes:.1} MiB, 4096 × 4096, one at a time"),
            &took,
        );
        let all = (0..AT_ONCE).map(|_| timed_upload(&ada, photo));
        let mut took = futures_util::future::join_all(all).await;
        took.sort_unstable();
        say(&format!("{AT_ONCE} of them at once"), &took);
        let (now, most) = replicas[0].resident();
        println!("{:<52} now {now} MiB, at most {most} MiB", "… in memory");
    }
    say(
        "messages from replica to replica, in peace",
        &delivery(&ada, &bob, &chat, 400).await,
    );
    let (_, photo) = &photos[0];
    let image = upload(&ada, "photo.jpg", photo.clone())
        .await
        .expect(201)
        .unwrap();
    for (what, address, count) in [("a thumbnail", "thumbnailUrl", 200), ("an original", "url", 40)] {
        let path = path_of(&image[address]);
        let mut took = Vec::new();
        for _ in 0..count {
            let started = Instant::now();
            replicas[1].rest.get(path).await.unwrap().expect(200).unwrap();
            took.push(started.elapsed());
        }
        took.sort_unstable();
        say(&format!("fetching {what} of it"), &took);
    }
    let forever = (0..2 * AT_ONCE).map(async |number| {
        let who = if number % 2 == 0 { &ada } else { &bob };
        loop {
            timed_upload(who, photo).await;
        }
    });
    tokio::select! {
        took = delivery(&ada, &bob, &chat, 400) => say("the same while both replicas draw without a break", &took),
        _ = futures_util::future::join_all(forever) => {}
    }
    for replica in &replicas {
        let (now, most) = replica.resident();
        println!("{:<52} now {now} MiB, at most {most} MiB", "a replica in memory");
    }
}
