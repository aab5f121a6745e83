//! Profiles: one's own, and who may see whose.

use serde_json::{Value, json};

use crate::cluster::Cluster;

#[tokio::test]
async fn ones_own_profile_is_changed_in_part_or_whole() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let both = json!({"displayName": "Ada L.", "status": "away"});
    let answer = ada
        .rest
        .put("/api/users/me", both)
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    assert_eq!(
        (&answer.body["displayName"], &answer.body["user"]["status"]),
        (&json!("Ada L."), &json!("away"))
    );
    ada.rest
        .put("/api/users/me", json!({"status": "online"}))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    ada.rest
        .put("/api/users/me", json!({}))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    let me = cluster
        .rest(1)
        .with_token(&ada.access_token)
        .get("/api/users/me")
        .await
        .unwrap();
    assert_eq!(
        (&me.body["displayName"], &me.body["status"]),
        (&json!("Ada L."), &json!("online"))
    );
    assert!(me.body["updatedAt"].as_str() > me.body["createdAt"].as_str());
}

#[tokio::test]
async fn an_empty_name_is_refused_with_a_sentence() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    for name in [
        json!(""),
        json!("   "),
        json!("<b></b>"),
        json!("x".repeat(101)),
        json!(7),
    ] {
        let body = json!({"displayName": name, "status": "online"});
        let answer = ada
            .rest
            .put("/api/users/me", body)
            .await
            .unwrap()
            .expect(400)
            .unwrap();
        assert_eq!(answer.body["details"][0]["field"], "displayName");
        assert!(
            answer.body["message"]
                .as_str()
                .unwrap()
                .starts_with("DisplayName must "),
            "{}",
            answer.text
        );
    }
    ada.rest
        .put("/api/users/me", json!({"status": "asleep"}))
        .await
        .unwrap()
        .expect(400)
        .unwrap();
}

#[tokio::test]
async fn strangers_do_not_see_each_other() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let path = format!("/api/users/{}", bob.id);
    let hidden = ada.rest.get(&path).await.unwrap().expect(403).unwrap();
    assert!(hidden.body["error"].is_string() && !hidden.text.contains("bob"));
    ada.rest
        .get(&format!("/api/users/{}", uuid::Uuid::now_v7()))
        .await
        .unwrap()
        .expect(404)
        .unwrap();
    ada.rest
        .get("/api/users/not-an-id")
        .await
        .unwrap()
        .expect(400)
        .unwrap();
    let own = ada
        .rest
        .get(&format!("/api/users/{}", ada.id))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    assert_eq!(own.body["username"], "ada");
}

#[tokio::test]
async fn people_are_never_shown_with_their_password() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let me = ada.rest.get("/api/users/me").await.unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let expected = [
        "avatarUrl",
        "createdAt",
        "displayName",
        "id",
        "lastSeen",
        "status",
        "updatedAt",
        "username",
    ];
    assert_eq!(keys(&me.body["user"]), expected);
}
