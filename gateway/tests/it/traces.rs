//! Traces, as a collector receives them, and the ids that go along with events.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use gateway::config::Switch;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as Any, trace::v1::Span,
};
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tools::client::{Rest, Socket};

use crate::{
    cluster::{Cluster, config},
    program::command,
};

const SOON: Duration = Duration::from_secs(20);

/// Something that takes OTLP over HTTP, and what it was told: each stage with the replica that told of it.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

impl Collector {
    /// Begins to listen. Says where.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(self.clone());
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    fn told(&self) -> Vec<(String, Span)> {
        self.0.lock().unwrap().clone()
    }

    /// All that belongs to the first request of this name, once there is as much of it. Stages are told of every few seconds.
    async fn trace_of(&self, request: &str, stages: usize) -> HashMap<String, (String, Span)> {
        for _ in 0..200 {
            let told = self.told();
            let root = told.iter().find(|(_, stage)| stage.name == request);
            if let Some((_, root)) = root {
                let of_it = told.iter().filter(|(_, stage)| stage.trace_id == root.trace_id);
                let of_it: Vec<_> = of_it.cloned().collect();
                if of_it.len() >= stages {
                    let named = of_it.into_iter().map(|told| (told.1.name.clone(), told));
                    return named.collect();
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no whole trace of {request} in {:#?}", self.told());
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let told = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in told.resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        let replica = attributes
            .iter()
            .find(|one| one.key == "service.instance.id")
            .unwrap();
        let Some(Any::StringValue(replica)) = replica.value.clone().unwrap().value else {
            panic!("{replica:?}")
        };
        let stages = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let stages = stages.map(|stage| (replica.clone(), stage));
        collector.0.lock().unwrap().extend(stages);
    }
}

fn attribute(stage: &Span, name: &str) -> String {
    let found = stage.attributes.iter().find(|one| one.key == name);
    match found.and_then(|one| one.value.clone()?.value) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        other => panic!("{name}: {other:?} in {stage:?}"),
    }
}

#[tokio::test]
async fn one_trace_goes_from_a_request_to_the_delivery_on_another_replica() {
    let collector = Collector::default();
    let endpoint = collector.start().await;
    let cluster = Cluster::with(|config| config.telemetry.otlp_endpoint = Some(endpoint.clone())).await;
    let (ada, bob) = (
        cluster.rest(0).register("ada").await.unwrap(),
        cluster.rest(1).register("bob").await.unwrap(),
    );
    let chat = json!({"name": "group", "participantIds": [bob.id]});
    let chat = ada
        .rest
        .post("/api/chats/group", chat)
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    let chat = chat.str("id").unwrap().to_owned();
    let mut ear = Socket::open(cluster.rest(1).base(), &bob.access_token)
        .await
        .unwrap();
    ear.hear("connection:success", |_| true).await.unwrap();
    let request = ada.rest.with_header("x-request-id", "the-cause");
    let path = format!("/api/chats/{chat}/messages");
    let sent = request.post(&path, json!({"content": "hello"})).await;
    sent.unwrap().expect(201).unwrap();
    ear.hear("message:new", |_| true).await.unwrap();

    // The sender has no socket: it is delivered on the other replica only.
    let trace = collector.trace_of("POST /api/chats/{id}/messages", 4).await;
    let replicas = [0, 1].map(|number| cluster.replicas[number].backend.bus.origin().to_string());
    let (here, there) = (&replicas[0], &replicas[1]);
    let mut before: Option<&Span> = None;
    for (name, replica) in [
        ("POST /api/chats/{id}/messages", here),
        ("transaction", here),
        ("bus", there),
        ("delivery", there),
    ] {
        let (of, stage) = trace.get(name).unwrap_or_else(|| panic!("{name} in {trace:#?}"));
        assert_eq!(of, replica, "{name}");
        assert_eq!(attribute(stage, "request_id"), "the-cause", "{name}");
        assert!(stage.start_time_unix_nano <= stage.end_time_unix_nano, "{name}");
        match before {
            None => assert!(stage.parent_span_id.is_empty()),
            Some(before) => assert_eq!(stage.parent_span_id, before.span_id, "{name}"),
        }
        before = Some(stage);
    }
    let (_, request) = &trace["POST /api/chats/{id}/messages"];
    assert_eq!(attribute(request, "http.response.status_code"), "201");
    assert_eq!(attribute(&trace["delivery"].1, "event"), "message_sent");

    // A command of a live connection begins a trace as well.
    let said = json!({"chatId": chat, "content": "hello back"});
    assert_eq!(ear.ask("message:send", &said).await.unwrap()["success"], true);
    let trace = collector.trace_of("message:send", 3).await;
    assert_eq!(trace["message:send"].0, *there);
    assert_eq!(trace["delivery"].0, *there, "the sender hears of it here");
}

#[tokio::test]
async fn messages_that_share_a_transaction_keep_their_traces_apart() {
    let collector = Collector::default();
    let endpoint = collector.start().await;
    let cluster = Cluster::with(|config| {
        config.telemetry.otlp_endpoint = Some(endpoint.clone());
        config.limits.rate_limits = Switch::Off;
    })
    .await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let chat =
        json!({"name": "group", "participantIds": [cluster.rest(0).register("bob").await.unwrap().id]});
    let chat = ada
        .rest
        .post("/api/chats/group", chat)
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    let path = format!("/api/chats/{}/messages", chat.str("id").unwrap());
    let sends = (0..20).map(|number| {
        let rest = ada.rest.with_header("x-request-id", &format!("request-{number}"));
        let path = path.clone();
        async move {
            rest.post(&path, json!({"content": "at once"}))
                .await
                .unwrap()
                .expect(201)
                .unwrap()
        }
    });
    futures_util::future::join_all(sends).await;
    let written = async {
        loop {
            let told = collector.told();
            let of_ours = |stage: &Span| {
                stage.name == "transaction" && attribute(stage, "request_id").starts_with("request-")
            };
            let written: Vec<Span> = told.into_iter().map(|told| told.1).filter(of_ours).collect();
            if written.len() >= 20 {
                return written;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let written = tokio::time::timeout(SOON, written).await.unwrap();
    let traces: std::collections::HashSet<_> = written.iter().map(|stage| &stage.trace_id).collect();
    assert_eq!((written.len(), traces.len()), (20, 20));
    let together = written
        .iter()
        .map(|stage| attribute(stage, "events").parse::<u32>().unwrap());
    assert!(together.max().unwrap() > 1, "none shared a transaction");
}

/// The log of another replica names the request that caused what it delivers, with traces or without.
#[tokio::test]
async fn logs_of_other_replicas_name_the_request() {
    let config = config().await;
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let mut replica = command(&config, &["serve"]);
        replica
            .env("LOG_LEVEL", "info,gateway::bus=debug")
            .stdout(Stdio::piped());
        let mut child = replica.spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line: Value = serde_json::from_str(&log.next_line().await.unwrap().unwrap()).unwrap();
            if line["message"] == "Serving" {
                break line["address"].as_str().unwrap().to_owned();
            }
        };
        replicas.push((child, log, Rest::new(format!("http://{address}"))));
    }
    let ada = replicas[0].2.register("ada").await.unwrap();
    let bob = replicas[1].2.register("bob").await.unwrap();
    let chat = json!({"name": "group", "participantIds": [bob.id]});
    let chat = ada
        .rest
        .post("/api/chats/group", chat)
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    let mut ear = Socket::open(replicas[1].2.base(), &bob.access_token)
        .await
        .unwrap();
    ear.hear("connection:success", |_| true).await.unwrap();
    let request = ada.rest.with_header("x-request-id", "who-did-this");
    let path = format!("/api/chats/{}/messages", chat.str("id").unwrap());
    request
        .post(&path, json!({"content": "hello"}))
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    ear.hear("message:new", |_| true).await.unwrap();
    let log = &mut replicas[1].1;
    let named = async {
        loop {
            let line: Value = serde_json::from_str(&log.next_line().await.unwrap().unwrap()).unwrap();
            if line["message"] == "Heard of an event" && line["request_id"] == "who-did-this" {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, named).await.unwrap();
}
