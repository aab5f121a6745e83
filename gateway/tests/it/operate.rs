//! What operators build on a gateway's numbers, held against the numbers that a gateway really tells.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use gateway::{limits::Limited, telemetry::metrics::ReasonLabels};
use serde_json::json;
use tools::client::Socket;

use crate::cluster::Cluster;

const ASKING: [&str; 2] = [
    "tools/operate/monitoring/alerts.yml",
    "k8s/components/monitoring/dashboard.json",
];

#[tokio::test]
async fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let cluster = Cluster::with(|config| {
        config.limits.rate_limit_overrides = vec![(Limited::Search, "1/1m".parse().unwrap())];
    })
    .await;
    cluster.ops(0).get("/health/ready").await.unwrap();
    // A family of which nothing was counted yet is not told: so something of everything.
    let rest = cluster.rest(0);
    let ada = rest.register("ada").await.unwrap();
    rest.log_in("ada", "wrong").await.unwrap_err();
    for status in [200, 429] {
        let found = ada.rest.get("/api/users/search?q=ada").await.unwrap();
        found.expect(status).unwrap();
    }
    let mut socket = Socket::open(rest.base(), &ada.access_token).await.unwrap();
    socket
        .ask("presence:update", &json!({"status": "away"}))
        .await
        .unwrap();
    socket.leave().await.unwrap();
    // Too much to do is not had for the asking.
    let metrics = &cluster.replicas[0].backend.metrics;
    drop(
        metrics
            .lane_refused
            .get_or_create(&ReasonLabels { reason: "full" }),
    );
    let told = told_in_the_end(&cluster, "messenger_connections_closed_total").await;

    for file in ASKING {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let asked = names(&fs::read_to_string(path).unwrap());
        assert!(asked.len() > 10, "{file} asks for {asked:?}");
        let unknown: Vec<_> = asked.difference(&told).collect();
        assert!(
            unknown.is_empty(),
            "{file} asks for {unknown:?}, which no gateway tells"
        );
    }
}

/// All that the first replica tells, once this is among it: the end of a connection is noticed a moment later.
async fn told_in_the_end(cluster: &Cluster, name: &str) -> BTreeSet<String> {
    for _ in 0..100 {
        let told = names(&cluster.ops(0).get("/metrics").await.unwrap().text);
        if told.contains(name) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} was not told within 5 s")
}

/// Every name of a metric of ours in a text.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("messenger_"))
        .map(str::to_owned)
        .collect()
}
