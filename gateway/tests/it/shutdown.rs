//! Leaving in good order.

use std::time::{Duration, Instant};

use serde_json::json;
use tools::client::Rest;

use crate::cluster::Cluster;

#[tokio::test]
async fn a_leaving_replica_is_not_ready_but_still_serves() {
    let mut cluster = Cluster::with(|config| config.http.drain_delay = Duration::from_secs(1)).await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let leaving = cluster.replicas.remove(0);
    let ops = Rest::new(format!("http://{}", leaving.ops_address));
    leaving.tasks.drain();
    let answer = ops.get("/health/ready").await.unwrap().expect(503).unwrap();
    assert_eq!(
        (&answer.body["ready"], &answer.body["draining"]),
        (&json!(false), &json!(true))
    );
    let leave = leaving.run();
    let still_served = async { ada.rest.get("/api/users/me").await.unwrap().expect(200).unwrap() };
    tokio::join!(leave, still_served);
    assert!(
        ada.rest.without_keep_alive().get("/api/users/me").await.is_err(),
        "it is gone"
    );
    cluster
        .rest(0)
        .with_token(&ada.access_token)
        .get("/api/users/me")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
}

#[tokio::test]
async fn requests_under_way_are_finished() {
    // A registration that takes a noticeable time.
    let mut cluster = Cluster::with(|config| config.auth.bcrypt_cost = 11).await;
    let rest = cluster.rest(0);
    let leaving = cluster.replicas.remove(0);
    let registration = rest.register("ada");
    let leave = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        leaving.stop().await;
    };
    let (registered, ()) = tokio::join!(registration, leave);
    let ada = registered.unwrap();
    cluster
        .rest(0)
        .with_token(&ada.access_token)
        .get("/api/users/me")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_stop() {
    let mut cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    rest.get("/health/live").await.unwrap().expect(200).unwrap();
    let _silent = tokio::net::TcpStream::connect(cluster.replicas[0].address)
        .await
        .unwrap();
    let started = Instant::now();
    cluster.replicas.remove(0).stop().await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_storage_that_is_away_does_not_hold_up_the_stop() {
    let mut cluster = Cluster::with(|config| {
        "http://127.0.0.1:1".clone_into(&mut config.storage.endpoint);
        config.http.shutdown_timeout = Duration::from_secs(3_600);
    })
    .await;
    let leave = cluster.replicas.remove(0).stop();
    tokio::time::timeout(Duration::from_secs(60), leave)
        .await
        .expect("it waits for the storage");
}
