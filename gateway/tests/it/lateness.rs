//! How late events are, as operators see it.

use std::time::Duration;

use gateway::config::Config;
use serde_json::json;
use shared::secret::Secret;
use tools::client::Socket;

use crate::{
    cluster::Cluster,
    weather::{Weather, Wire, target_of, through},
};

/// How many of something were seen until now, and how many of them within a time.
async fn seen(cluster: &Cluster, replica: usize, what: &str, within: &str) -> (u64, u64) {
    let told = cluster.ops(replica).get("/metrics").await.unwrap().text;
    let number = |name: String| {
        let line = told.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{name} is missing in\n{told}"))
            .trim()
            .parse()
            .unwrap()
    };
    (
        number(format!("messenger_{what}_seconds_count ")),
        number(format!("messenger_{what}_seconds_bucket{{le=\"{within}\"}} ")),
    )
}

#[tokio::test]
async fn deliveries_are_timed_on_whichever_replica_they_happen() {
    let config = crate::cluster::config().await;
    let wire = Wire::to(target_of(config.redis.url.expose())).await;
    // The second replica's link to Redis can be cut.
    let cluster = Cluster::start().await;
    let apart = Config {
        redis: gateway::config::Redis {
            url: Secret::new(through(cluster.config.redis.url.expose(), wire.address)),
            ..cluster.config.redis.clone()
        },
        ..cluster.config.clone()
    };
    let mut cluster = cluster;
    cluster.replicas[1] = cluster.replica_with(&apart).await;

    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let ask = json!({"name": "group", "participantIds": [bob.id]});
    let chat = ada.rest.post("/api/chats/group", ask).await.unwrap();
    let path = format!(
        "/api/chats/{}/messages",
        chat.expect(201).unwrap().str("id").unwrap()
    );
    let mut ear = Socket::open(cluster.rest(1).base(), &bob.access_token)
        .await
        .unwrap();
    ear.hear("connection:success", |_| true).await.unwrap();

    let before = seen(&cluster, 1, "delivery_delay", "1.0").await;
    for number in 0..10 {
        let sent = ada.rest.post(&path, json!({"content": number.to_string()})).await;
        sent.unwrap().expect(201).unwrap();
        ear.hear("message:new", |_| true).await.unwrap();
    }
    let after = seen(&cluster, 1, "delivery_delay", "1.0").await;
    assert!(
        after.0 >= before.0 + 10,
        "one for each write: {before:?}, {after:?}"
    );
    assert_eq!(after.0, after.1, "and none takes a second");
    let (crossed, soon) = seen(&cluster, 1, "bus_delay", "1.0").await;
    assert!(crossed >= 10 && crossed == soon, "{crossed}, {soon}");
    assert_eq!(
        seen(&cluster, 0, "delivery_delay", "1.0").await.0,
        0,
        "nobody listens there"
    );

    // What is read from the log is as old as it is.
    wire.set(Weather::Cut);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = seen(&cluster, 1, "delivery_delay", "0.01").await;
    for number in 0..10 {
        let sent = ada.rest.post(&path, json!({"content": number.to_string()})).await;
        sent.unwrap().expect(201).unwrap();
        ear.hear("message:new", |_| true).await.unwrap();
    }
    let after = seen(&cluster, 1, "delivery_delay", "0.01").await;
    let (written, at_once) = (after.0 - before.0, after.1 - before.1);
    assert!(written >= 8, "{written}");
    assert!(
        at_once * 2 < written,
        "{at_once} of {written} were on time although the log is read three times a second"
    );
}

#[tokio::test]
async fn what_was_refused_is_counted_with_its_reason() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    ada.rest.get("/api/chats/nonsense").await.unwrap();
    ada.rest.without_token().get("/api/chats").await.unwrap();
    let mut socket = Socket::open(cluster.rest(0).base(), &ada.access_token)
        .await
        .unwrap();
    assert_eq!(cluster.replicas[0].backend.metrics.people.get(), 1);
    let refused = socket.ask("no:such:event", &json!({})).await.unwrap();
    assert_eq!(refused["success"], false);
    let told = cluster.ops(0).get("/metrics").await.unwrap().text;
    for line in [
        r#"messenger_problems_total{code="UNAUTHORIZED",reason="TOKEN_MISSING"} 1"#,
        r#"messenger_problems_total{code="NOT_FOUND",reason=""} "#,
        // Two of five are for sending alone.
        "messenger_database_connections_max 3\n",
        "messenger_build_info{version=",
    ] {
        assert!(told.contains(line), "{line} is missing in\n{told}");
    }
}
