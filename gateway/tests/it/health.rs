//! What probes, operators and clients are told about a replica.

use serde_json::{Value, json};

use crate::cluster::Cluster;

#[tokio::test]
async fn all_health_paths_answer_get_and_head_on_both_ports() {
    let cluster = Cluster::start().await;
    // The bucket is made in the background.
    for _ in 0..50 {
        if cluster.rest(0).get("/health").await.unwrap().body["status"] == "ok" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for door in [cluster.rest(0), cluster.ops(0)] {
        for path in ["/health", "/health/live", "/health/ready", "/health/detailed"] {
            let answer = door.get(path).await.unwrap().expect(200).unwrap();
            assert_eq!(answer.body["status"], "ok", "{}", answer.text);
            assert!(answer.body["timestamp"].is_string());
            door.head(path).await.unwrap().expect(200).unwrap();
        }
    }
    for path in ["/api/health", "/api/health/live", "/api/health/ready"] {
        cluster.rest(1).get(path).await.unwrap().expect(200).unwrap();
        cluster.rest(1).head(path).await.unwrap().expect(200).unwrap();
    }
    let rest = cluster.rest(0);
    let health = rest.get("/api/health").await.unwrap().body;
    assert_eq!(
        health["services"],
        json!({"database": "ok", "redis": "ok", "storage": "ok"})
    );
    assert_eq!(
        (&health["database"]["connected"], &health["redis"]["connected"]),
        (&json!(true), &json!(true))
    );
    assert!(health["version"].is_string() && health["uptime"].is_number());
    assert_eq!(rest.get("/health/ready").await.unwrap().body["ready"], true);
    assert_eq!(rest.get("/health/live").await.unwrap().body["alive"], true);
    let detailed = rest.get("/health/detailed").await.unwrap().body;
    assert_eq!(
        detailed["checks"]["storage"],
        json!({"healthy": true, "message": "reachable"})
    );
}

#[tokio::test]
async fn metrics_are_for_the_ops_port_only() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    ada.rest
        .get(&format!("/api/users/{}", ada.id))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    ada.rest
        .get("/nowhere/at/all")
        .await
        .unwrap()
        .expect(404)
        .unwrap();
    cluster
        .rest(0)
        .get("/metrics")
        .await
        .unwrap()
        .expect(404)
        .unwrap();
    let metrics = cluster
        .ops(0)
        .get("/metrics")
        .await
        .unwrap()
        .expect(200)
        .unwrap()
        .text;
    for line in [
        r#"messenger_http_requests_total{method="POST",route="/api/auth/register",status="201"} 1"#,
        r#"messenger_http_requests_total{method="GET",route="/api/users/{id}",status="200"} 1"#,
        r#"messenger_http_requests_total{method="GET",route="unmatched",status="404"} 2"#,
        r#"messenger_http_request_duration_seconds_count{method="POST",route="/api/auth/register"} 1"#,
        "messenger_database_connections_open",
        "messenger_process_resident_memory_bytes",
        "messenger_process_cpu_seconds_total",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    let other = cluster.ops(1).get("/metrics").await.unwrap().text;
    assert!(
        !other.contains("/api/auth/register"),
        "each replica counts for itself"
    );
    assert_ne!(Value::from(metrics), Value::from(other));
}
