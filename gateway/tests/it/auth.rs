//! Registering, logging in, refreshing, logging out.

use std::time::Duration;

use gateway::config::Config;
use serde_json::{Value, json};
use shared::secret::Secret;
use sqlx::Connection;
use tools::client::{Answer, Rest, rest::PASSWORD};

use crate::cluster::{Cluster, JWT_SECRET};

const SECOND: Duration = Duration::from_secs(1);

async fn refresh(rest: &Rest, token: &str) -> Answer {
    rest.post("/api/auth/refresh", json!({ "refreshToken": token }))
        .await
        .unwrap()
}

async fn log_in(rest: &Rest, username: &str, password: &str) -> Answer {
    rest.post(
        "/api/auth/login",
        json!({"username": username, "password": password}),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn a_new_account_is_logged_in_everywhere() {
    let cluster = Cluster::start().await;
    let body = json!({"username": "Ada_1", "password": PASSWORD, "passwordConfirm": PASSWORD});
    let answer = cluster
        .rest(0)
        .post("/api/auth/register", body)
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    let user = &answer.body["user"];
    assert_eq!(
        (&user["username"], &user["displayName"]),
        (&json!("Ada_1"), &json!("Ada_1"))
    );
    assert_eq!(
        (&user["status"], &user["avatarUrl"]),
        (&json!("offline"), &Value::Null)
    );
    assert!(user["createdAt"].as_str().unwrap().ends_with('Z'));
    assert!(!answer.text.to_lowercase().contains("hash"));
    let me = cluster
        .rest(1)
        .with_token(answer.str("accessToken").unwrap())
        .get("/api/users/me")
        .await
        .unwrap();
    assert_eq!(
        (me.status, &me.body["username"], &me.body["user"]["username"]),
        (200, &json!("Ada_1"), &json!("Ada_1"))
    );
}

#[tokio::test]
async fn a_display_name_may_be_given_and_is_plain_text() {
    let cluster = Cluster::start().await;
    let body = json!({"username": "ada", "password": PASSWORD, "passwordConfirm": PASSWORD, "displayName": " <b>Ada</b> & Co "});
    let answer = cluster
        .rest(0)
        .post("/api/auth/register", body)
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    assert_eq!(answer.body["user"]["displayName"], "Ada & Co");
}

#[tokio::test]
async fn names_are_unique_as_written() {
    let cluster = Cluster::start().await;
    cluster.rest(0).register("ada").await.unwrap();
    cluster.rest(0).register("Ada").await.unwrap();
    let body = json!({"username": "ada", "password": PASSWORD, "passwordConfirm": PASSWORD});
    let answer = cluster.rest(1).post("/api/auth/register", body).await.unwrap();
    assert_eq!((answer.status, &answer.body["code"]), (409, &json!("CONFLICT")));
    assert_eq!(answer.body["reason"], "USERNAME_TAKEN");
}

#[tokio::test]
async fn of_many_who_want_one_name_one_gets_it() {
    let cluster = Cluster::start().await;
    let body = json!({"username": "ada", "password": PASSWORD, "passwordConfirm": PASSWORD});
    let doors = [cluster.rest(0), cluster.rest(1)];
    let tries = (0..16).map(|i| doors[i % 2].post("/api/auth/register", body.clone()));
    let answers = futures_util::future::join_all(tries).await;
    let mut statuses: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().status).collect();
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (201, &[409; 15][..]));
}

#[tokio::test]
async fn passwords_longer_than_bcrypt_reads_are_told_apart() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let long = format!("Aa1{}", "ü".repeat(120));
    let body = json!({"username": "ada", "password": long, "passwordConfirm": long});
    rest.post("/api/auth/register", body)
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    assert_eq!(log_in(&rest, "ada", &long).await.status, 200);
    let other = format!("{}x", &long[..long.len() - 2]);
    assert_eq!(log_in(&rest, "ada", &other).await.status, 401);
}

#[tokio::test]
async fn nobody_learns_which_names_exist() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    rest.register("ada").await.unwrap();
    let mut bodies = Vec::new();
    for (name, password) in [
        ("ada", "wrong"),
        ("nobody", "wrong"),
        ("no such name!", "wrong"),
        ("nul\0l", ""),
    ] {
        let mut answer = log_in(&rest, name, password).await.expect(401).unwrap();
        answer.body["requestId"] = Value::Null;
        bodies.push(answer.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn tokens_issued_within_one_second_differ() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let first = rest.register("ada").await.unwrap();
    let second = rest.log_in("ada", PASSWORD).await.unwrap();
    assert_ne!(first.access_token, second.access_token);
    assert_ne!(first.refresh_token, second.refresh_token);
}

#[tokio::test]
async fn a_refresh_renews_both_tokens() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    cluster.clock.advance(16 * 60 * SECOND);
    let expired = ada.rest.get("/api/users/me").await.unwrap().expect(401).unwrap();
    assert_eq!(expired.body["reason"], "TOKEN_EXPIRED");
    let answer = refresh(&cluster.rest(1), &ada.refresh_token)
        .await
        .expect(200)
        .unwrap();
    assert_ne!(answer.str("refreshToken").unwrap(), ada.refresh_token);
    assert_eq!(answer.body["user"]["username"], "ada");
    let renewed = cluster.rest(0).with_token(answer.str("accessToken").unwrap());
    renewed.get("/api/users/me").await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn two_tabs_that_refresh_at_once_agree() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let doors = [cluster.rest(0), cluster.rest(1)];
    let tries = (0..8).map(|i| refresh(&doors[i % 2], &ada.refresh_token));
    let mut successors: Vec<String> = Vec::new();
    for answer in futures_util::future::join_all(tries).await {
        successors.push(
            answer
                .expect(200)
                .unwrap()
                .str("refreshToken")
                .unwrap()
                .to_owned(),
        );
    }
    successors.dedup();
    assert_eq!(successors.len(), 1, "all got the same refresh token");
}

#[tokio::test]
async fn a_replaced_token_works_for_a_minute_and_then_ends_the_session() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let ada = rest.register("ada").await.unwrap();
    let first = ada.refresh_token.clone();
    let second = refresh(&rest, &first)
        .await
        .str("refreshToken")
        .unwrap()
        .to_owned();
    // The successor has been used as well: the first one still answers with it.
    let third = refresh(&rest, &second)
        .await
        .str("refreshToken")
        .unwrap()
        .to_owned();
    cluster.clock.advance(59 * SECOND);
    assert_eq!(
        refresh(&cluster.rest(1), &first)
            .await
            .str("refreshToken")
            .unwrap(),
        second
    );
    assert_eq!(refresh(&rest, &second).await.str("refreshToken").unwrap(), third);

    cluster.clock.advance(2 * SECOND);
    refresh(&cluster.rest(1), &first).await.expect(401).unwrap();
    let ended = refresh(&rest, &third).await.expect(401).unwrap();
    assert_eq!(ended.body["reason"], "SESSION_ENDED", "the whole family is out");
    tokio::time::sleep(SECOND).await;
    for replica in 0..2 {
        let door = cluster.rest(replica).with_token(&ada.access_token);
        assert_eq!(
            door.get("/api/users/me").await.unwrap().body["reason"],
            "SESSION_ENDED"
        );
    }
}

#[tokio::test]
async fn a_session_lasts_a_week_after_its_last_refresh() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let ada = rest.register("ada").await.unwrap();
    let day = 24 * 3_600 * SECOND;
    cluster.clock.advance(6 * day);
    let token = refresh(&rest, &ada.refresh_token)
        .await
        .str("refreshToken")
        .unwrap()
        .to_owned();
    cluster.clock.advance(6 * day);
    let token = refresh(&rest, &token)
        .await
        .str("refreshToken")
        .unwrap()
        .to_owned();
    cluster.clock.advance(7 * day);
    refresh(&rest, &token).await.expect(401).unwrap();
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let ada = rest.register("ada").await.unwrap();
    let unknown = "A".repeat(43);
    for token in [
        "",
        "x",
        &ada.access_token,
        &unknown,
        &format!("{}=", ada.refresh_token),
    ] {
        assert_eq!(refresh(&rest, token).await.status, 401, "{token}");
    }
    let as_access = rest
        .with_token(&ada.refresh_token)
        .get("/api/users/me")
        .await
        .unwrap();
    assert_eq!(
        (as_access.status, &as_access.body["reason"]),
        (401, &json!("TOKEN_INVALID"))
    );
}

#[tokio::test]
async fn refresh_tokens_are_not_kept_in_the_clear() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let ada = rest.register("ada").await.unwrap();
    let successor = refresh(&rest, &ada.refresh_token)
        .await
        .str("refreshToken")
        .unwrap()
        .to_owned();
    let mut database = cluster.database().await;
    let rows: Vec<String> = sqlx::query_scalar(
        "select concat(encode(digest, 'base64'), ' ', encode(coalesce(sealed_successor, ''), 'base64')) from refresh_tokens",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    database.close().await.unwrap();
    assert_eq!(rows.len(), 2);
    for token in [&ada.refresh_token, &successor] {
        let in_base64 = token.replace('-', "+").replace('_', "/");
        assert!(rows.iter().all(|row| !row.contains(&in_base64)));
    }
}

#[tokio::test]
async fn logging_out_ends_this_session_only_and_everywhere_within_a_second() {
    let cluster = Cluster::start().await;
    let phone = cluster.rest(0).register("ada").await.unwrap();
    let laptop = cluster.rest(1).log_in("ada", PASSWORD).await.unwrap();
    // Both replicas have just seen the session alive.
    for replica in 0..2 {
        let door = cluster.rest(replica).with_token(&phone.access_token);
        door.get("/api/users/me").await.unwrap().expect(200).unwrap();
    }
    let answer = phone
        .rest
        .post("/api/auth/logout", None)
        .await
        .unwrap()
        .expect(204)
        .unwrap();
    assert_eq!(answer.text, "");
    phone
        .rest
        .get("/api/users/me")
        .await
        .unwrap()
        .expect(401)
        .unwrap();
    tokio::time::sleep(SECOND).await;
    cluster
        .rest(1)
        .with_token(&phone.access_token)
        .get("/api/users/me")
        .await
        .unwrap()
        .expect(401)
        .unwrap();
    refresh(&cluster.rest(1), &phone.refresh_token)
        .await
        .expect(401)
        .unwrap();
    laptop
        .rest
        .get("/api/users/me")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
}

#[tokio::test]
async fn logging_out_takes_any_empty_body_and_may_name_another_session() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let ada = rest.register("ada").await.unwrap();
    for kind in [
        None,
        Some("application/json"),
        Some("application/x-www-form-urlencoded"),
    ] {
        let session = rest.log_in("ada", PASSWORD).await.unwrap();
        let answer = session
            .rest
            .raw(reqwest::Method::POST, "/api/auth/logout", kind, "")
            .await
            .unwrap();
        assert_eq!(answer.status, 204, "{kind:?}");
    }
    let other = rest.log_in("ada", PASSWORD).await.unwrap();
    let body = json!({"refreshToken": other.refresh_token});
    ada.rest
        .post("/api/auth/logout", body)
        .await
        .unwrap()
        .expect(204)
        .unwrap();
    other
        .rest
        .get("/api/users/me")
        .await
        .unwrap()
        .expect(401)
        .unwrap();
    ada.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();

    let bob = rest.register("bob").await.unwrap();
    for token in [bob.refresh_token.as_str(), "unknown"] {
        let answer = ada
            .rest
            .post("/api/auth/logout", json!({"refreshToken": token}))
            .await
            .unwrap();
        assert_eq!(
            answer.status, 400,
            "nobody may believe they ended a session that goes on"
        );
    }
    bob.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn sessions_are_listed_and_revoked() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    rest.register("ada").await.unwrap();
    let phone = rest
        .with_header("x-device-name", "Ada's phone")
        .with_header("x-forwarded-for", "203.0.113.7");
    let phone = phone.log_in("ada", PASSWORD).await.unwrap();
    let laptop = rest
        .with_header("user-agent", "laptop/1")
        .log_in("ada", PASSWORD)
        .await
        .unwrap();

    let list = laptop
        .rest
        .get("/api/auth/sessions")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    let sessions = list.body["sessions"].as_array().unwrap().clone();
    assert_eq!(sessions.len(), 3);
    assert_eq!(
        sessions
            .iter()
            .filter(|session| session["current"] == true)
            .count(),
        1
    );
    let of_phone = sessions
        .iter()
        .find(|session| session["deviceName"] == "Ada's phone")
        .unwrap();
    assert_eq!(of_phone["ipAddress"], "203.0.113.7");
    for key in [
        "id",
        "current",
        "deviceName",
        "ipAddress",
        "userAgent",
        "createdAt",
        "lastActivity",
        "expiresAt",
    ] {
        assert!(of_phone.get(key).is_some(), "{key}");
    }

    let path = format!("/api/auth/sessions/{}", of_phone["id"].as_str().unwrap());
    let bob = rest.register("bob").await.unwrap();
    bob.rest.delete(&path).await.unwrap().expect(404).unwrap();
    laptop.rest.delete(&path).await.unwrap().expect(204).unwrap();
    laptop.rest.delete(&path).await.unwrap().expect(404).unwrap();
    phone
        .rest
        .get("/api/users/me")
        .await
        .unwrap()
        .expect(401)
        .unwrap();

    laptop
        .rest
        .delete("/api/auth/sessions")
        .await
        .unwrap()
        .expect(204)
        .unwrap();
    let list = laptop.rest.get("/api/auth/sessions").await.unwrap();
    assert_eq!(list.body["sessions"].as_array().unwrap().len(), 1);
    bob.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn the_signing_key_is_rotated_without_logging_anybody_out() {
    const NEXT: &str = "the next key, which also has thirty-two bytes";
    let secret = |text: &str| Secret::new(text.to_owned());
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let step = async |change: &dyn Fn(&mut Config)| {
        let mut config = cluster.config.clone();
        change(&mut config);
        Cluster {
            replicas: Vec::new(),
            clock: cluster.clock.clone(),
            config,
        }
        .replica()
        .await
    };
    // First the new key is made known, then it signs, then the old one goes.
    let known = step(&|config| config.auth.jwt_secret_previous = Some(secret(NEXT))).await;
    let signs = step(&|config| {
        config.auth.jwt_secret = secret(NEXT);
        config.auth.jwt_secret_previous = Some(secret(JWT_SECRET));
    })
    .await;
    let alone = step(&|config| config.auth.jwt_secret = secret(NEXT)).await;
    let door = |app: &gateway::app::App| Rest::new(format!("http://{}", app.address));
    let works = async |app: &gateway::app::App, token: &str| {
        door(app)
            .with_token(token)
            .get("/api/users/me")
            .await
            .unwrap()
            .status
            == 200
    };
    assert!(works(&known, &ada.access_token).await && works(&signs, &ada.access_token).await);
    let renewed = refresh(&door(&signs), &ada.refresh_token)
        .await
        .expect(200)
        .unwrap();
    let renewed = renewed.str("accessToken").unwrap();
    assert!(works(&known, renewed).await && works(&alone, renewed).await);
    assert!(
        !works(&alone, &ada.access_token).await,
        "what the old key signed is out at the end"
    );
}

#[tokio::test]
async fn a_thousand_registrations_at_once_succeed() {
    let cluster = Cluster::start().await;
    let doors = [cluster.rest(0), cluster.rest(1)];
    // The load tool: everybody registers, and logs in as soon as that is done.
    let people = (0..1_000).map(|i| {
        let door = &doors[i % 2];
        async move {
            let name = format!("testuser_{i}_aBcDeF");
            door.register(&name).await?;
            door.log_in(&name, PASSWORD).await
        }
    });
    let people = futures_util::future::join_all(people).await;
    let failed: Vec<_> = people.into_iter().filter_map(Result::err).collect();
    assert!(
        failed.is_empty(),
        "{} failed, such as: {:?}",
        failed.len(),
        failed[0]
    );
}
