//! Too often, too many, and who counts.

use std::time::Duration;

use gateway::config::Switch;
use serde_json::json;
use tools::client::{Answer, Rest, rest::PASSWORD};

use crate::cluster::Cluster;

const MINUTE: Duration = Duration::from_secs(60);

async fn log_in(rest: &Rest, username: &str, password: &str) -> Answer {
    rest.post(
        "/api/auth/login",
        json!({"username": username, "password": password}),
    )
    .await
    .unwrap()
}

fn assert_locked(answer: &Answer) {
    assert_eq!(
        (answer.status, &answer.body["reason"]),
        (429, &json!("ACCOUNT_LOCKED")),
        "{}",
        answer.text
    );
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(answer.body["retryAfter"], seconds);
    assert!((1..=900).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn five_failures_lock_a_name_on_all_replicas_for_fifteen_minutes() {
    let cluster = Cluster::start().await;
    let doors = [cluster.rest(0), cluster.rest(1)];
    doors[0].register("ada").await.unwrap();
    for name in ["ada", "nobody_at_all"] {
        for i in 0..5 {
            log_in(&doors[i % 2], name, "wrong").await.expect(401).unwrap();
            cluster.clock.advance(MINUTE);
        }
        for door in &doors {
            assert_locked(&log_in(door, name, PASSWORD).await);
        }
    }
    doors[0].register("bert").await.unwrap();
    log_in(&doors[0], "bert", PASSWORD).await.expect(200).unwrap();
    cluster.clock.advance(13 * MINUTE);
    assert_locked(&log_in(&doors[1], "nobody_at_all", PASSWORD).await);
    cluster.clock.advance(2 * MINUTE);
    log_in(&doors[1], "ada", PASSWORD).await.expect(200).unwrap();
}

#[tokio::test]
async fn failures_are_forgotten_after_fifteen_minutes() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    rest.register("ada").await.unwrap();
    for _ in 0..4 {
        log_in(&rest, "ada", "wrong").await.expect(401).unwrap();
    }
    cluster.clock.advance(15 * MINUTE);
    for _ in 0..4 {
        log_in(&rest, "ada", "wrong").await.expect(401).unwrap();
    }
    log_in(&rest, "ada", PASSWORD).await.expect(200).unwrap();
}

#[tokio::test]
async fn a_burst_of_guesses_gets_exactly_five_answers() {
    let cluster = Cluster::start().await;
    let doors = [cluster.rest(0), cluster.rest(1)];
    doors[0].register("ada").await.unwrap();
    let guesses = (0..20).map(|i| log_in(&doors[i % 2], "ada", "wrong"));
    let answers = futures_util::future::join_all(guesses).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 5);
    answers
        .iter()
        .filter(|answer| answer.status != 401)
        .for_each(assert_locked);
}

#[tokio::test]
async fn right_passwords_never_count() {
    let cluster = Cluster::start().await;
    let doors = [cluster.rest(0), cluster.rest(1)];
    doors[0].register("ada").await.unwrap();
    for _ in 0..4 {
        log_in(&doors[0], "ada", "wrong").await.expect(401).unwrap();
    }
    // At once, when none of them is known to be right yet, and one after the other.
    let log_ins = (0..16).map(|i| log_in(&doors[i % 2], "ada", PASSWORD));
    for answer in futures_util::future::join_all(log_ins).await {
        answer.expect(200).unwrap();
    }
    log_in(&doors[1], "ada", "wrong").await.expect(401).unwrap();
    assert_locked(&log_in(&doors[0], "ada", PASSWORD).await);
}

#[tokio::test]
async fn whoever_hangs_up_gives_the_attempt_back() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    rest.register("ada").await.unwrap();
    for _ in 0..10 {
        let attempt = log_in(&rest, "ada", PASSWORD);
        let _ = tokio::time::timeout(Duration::from_millis(1), attempt).await;
    }
    log_in(&cluster.rest(1), "ada", PASSWORD)
        .await
        .expect(200)
        .unwrap();
}

#[tokio::test]
async fn a_flood_of_log_ins_is_told_to_come_back_and_others_do_not_notice() {
    let cluster = Cluster::with(|config| {
        config.auth.bcrypt_cost = 9;
        config.auth.password_threads = 1;
        config.auth.login_max_wait = Duration::from_millis(100);
    })
    .await;
    let rest = cluster.rest(0);
    let ada = rest.register("ada").await.unwrap();
    let names: Vec<_> = (0..100).map(|i| format!("guess_{i}")).collect();
    let flood = futures_util::future::join_all(names.iter().map(|name| log_in(&rest, name, "wrong")));
    let others = async {
        for _ in 0..20 {
            ada.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();
        }
    };
    let (answers, ()) = tokio::join!(flood, others);
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(busy.len() > 50, "only {} of 100 were turned away", busy.len());
    for answer in busy {
        assert_eq!(answer.body["reason"], "BUSY");
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
}

#[tokio::test]
async fn general_calls_are_limited_per_person_over_all_replicas() {
    let cluster =
        Cluster::with(|config| config.limits.rate_limit_overrides = vec![overridden("general=10/1m")]).await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(0).register("bob").await.unwrap();
    let doors = [
        cluster.rest(0).with_token(&ada.access_token),
        cluster.rest(1).with_token(&ada.access_token),
    ];
    for i in 0..10 {
        doors[i % 2]
            .get("/api/users/me")
            .await
            .unwrap()
            .expect(200)
            .unwrap();
    }
    for door in &doors {
        let answer = door.get("/api/users/me").await.unwrap().expect(429).unwrap();
        assert_eq!(
            (&answer.body["code"], &answer.body["reason"]),
            (&json!("RATE_LIMIT_EXCEEDED"), &json!("RATE_EXCEEDED"))
        );
        assert_eq!(answer.header("ratelimit-limit"), Some("10"));
        assert!(answer.header("retry-after").is_some());
    }
    bob.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn with_limits_off_nothing_is_limited() {
    let cluster = Cluster::with(|config| {
        config.limits.rate_limits = Switch::Off;
        config.limits.rate_limit_overrides = vec![overridden("general=1/1h"), overridden("register=1/1h")];
    })
    .await;
    let rest = cluster.rest(0);
    let ada = rest.register("ada").await.unwrap();
    rest.register("bob").await.unwrap();
    for _ in 0..10 {
        ada.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();
        log_in(&rest, "ada", "wrong").await.expect(401).unwrap();
    }
}

fn overridden(text: &str) -> (gateway::limits::Limited, gateway::config::Rate) {
    let (name, rate) = text.split_once('=').unwrap();
    let limited = gateway::limits::Limited::ALL
        .into_iter()
        .find(|limited| limited.name() == name)
        .unwrap();
    (limited, rate.parse().unwrap())
}
