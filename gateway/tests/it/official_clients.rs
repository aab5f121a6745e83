//! The contract, asked by the official Socket.IO clients: `tools/contract` against two replicas, and a third whose tokens expire soon.

use std::{process::Stdio, time::Duration};

use clap::ValueEnum as _;
use gateway::config::Switch;

use crate::cluster::Cluster;

const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/contract/run");

/// Whatever is asked, the answer is one that `openapi/gateway.json` names: asked by schemathesis, which makes up a thousand requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by .ci/contract"]
async fn every_answer_is_documented() {
    // Somebody asks all of it, and little would be heard of most.
    let cluster = Cluster::with(|config| config.limits.rate_limits = Switch::Off).await;
    let replica = format!("http://{}", cluster.replicas[0].address);
    let mut run = tokio::process::Command::new(RUN);
    run.arg("fuzz")
        .env("REPLICAS", replica)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    assert!(run.status().await.unwrap().success(), "see above what differs");
}

/// Takes minutes and npm packages, so it is asked for by name: `.ci/contract` does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by .ci/contract"]
async fn official_clients() {
    let heavy = std::env::var_os("HEAVY").is_some();
    // The addresses of images name a replica that is there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let third = free.local_addr().unwrap();
    drop(free);
    let cluster = Cluster::with(|config| {
        config.database.max_connections = 20;
        config.http.public_url = format!("http://{third}");
        if heavy {
            config.limits.rate_limits = Switch::Off;
        }
    })
    .await;
    let mut short = cluster.config.clone();
    short.auth.access_token_ttl = Duration::from_secs(10);
    short.http.listen = third;
    let short = cluster.replica_with(&short).await;
    let address = |app: &gateway::app::App| format!("http://{}", app.address);
    let replicas: Vec<String> = cluster.replicas.iter().map(address).collect();
    let limits = cluster.config.limits.rate_limits.to_possible_value().unwrap();
    let mut run = tokio::process::Command::new(RUN);
    run.env("REPLICAS", replicas.join(","))
        .env("SHORT_TTL_REPLICA", address(&short))
        .env("RATE_LIMITS", limits.get_name())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Ok(files) = std::env::var("CONTRACT_TESTS") {
        run.args(files.split_whitespace());
    }
    assert!(run.status().await.unwrap().success(), "see above what differs");
}
