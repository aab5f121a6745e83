//! The committed documents equal the generated ones, and the served ones too; and they leave nothing out.

use std::{collections::BTreeSet, env, fs, path::Path};

use gateway::doors::docs;
use serde_json::{Map, Value, json};
use shared::{event::Kind, problem::Reason};

use crate::cluster::Cluster;

fn document() -> Value {
    serde_json::from_str(&docs::rest()).unwrap()
}

#[test]
fn the_committed_documents_are_up_to_date() {
    for (name, generated) in docs::documents() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../openapi")
            .join(name);
        if env::var_os("UPDATE").is_some() {
            fs::write(&file, &generated).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == generated,
            "openapi/{name} is not what the code says; run: cargo run -- openapi"
        );
    }
}

#[tokio::test]
async fn the_served_documents_are_the_same() {
    let cluster = Cluster::start().await;
    for (path, generated) in [("/openapi.json", docs::rest()), ("/realtime.json", docs::live())] {
        let answer = cluster.rest(0).get(path).await.unwrap().expect(200).unwrap();
        let generated: Value = serde_json::from_str(&generated).unwrap();
        assert_eq!(answer.body, generated, "{path}");
    }
}

/// Every operation, as `get /path`.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations
            .map(move |(method, operation)| (format!("{method} {path}"), operation.as_object().unwrap()))
    })
}

#[test]
fn every_operation_has_an_id_of_its_own() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}");
    }
}

/// Of images there is nothing to show in JSON.
#[test]
fn everything_that_is_sent_or_answered_has_an_example() {
    fn check(name: &str, contents: &Value) {
        for (kind, content) in contents.as_object().into_iter().flatten() {
            let has_one = content
                .get("example")
                .or_else(|| content.get("examples"))
                .is_some();
            assert!(has_one || !kind.contains("json"), "no example of {kind}: {name}");
        }
    }
    let document = document();
    for (name, operation) in operations(&document) {
        check(
            &name,
            &operation.get("requestBody").unwrap_or(&Value::Null)["content"],
        );
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert_ne!(
                response["description"].as_str().unwrap_or_default(),
                "",
                "{name} {status}"
            );
            check(&format!("{name} {status}"), &response["content"]);
        }
    }
}

#[test]
fn every_failure_shows_its_codes_and_every_reason_has_its_place() {
    let document = document();
    let mut shown = BTreeSet::new();
    for (name, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let examples = &response["content"]["application/problem+json"]["examples"];
            for key in examples
                .as_object()
                .into_iter()
                .flat_map(|examples| examples.keys())
            {
                let problem = &document["components"]["examples"][key]["value"];
                assert_eq!(problem["status"].to_string(), *status, "{name} {key}");
                shown.extend(problem["reason"].as_str().map(str::to_owned));
            }
            // These two always say more than their code.
            let is_bare = ["FORBIDDEN", "CONFLICT"]
                .iter()
                .any(|code| examples.get(code).is_some());
            assert!(!is_bare, "{name} {status}: say in `x-fails` why");
        }
    }
    let reasons = Reason::ALL
        .iter()
        .map(|reason| json!(reason).as_str().unwrap().to_owned());
    let nowhere: Vec<_> = reasons.filter(|reason| !shown.contains(reason)).collect();
    assert!(
        nowhere.is_empty(),
        "at which operation do these happen? {nowhere:?}"
    );
}

#[test]
fn every_event_that_clients_hear_is_described() {
    let live: Value = serde_json::from_str(&docs::live()).unwrap();
    let told = live["channels"]["told"]["messages"].as_object().unwrap();
    for name in [
        "connection:success",
        "resync",
        "server:shutdown",
        "message:new",
        "message:sent",
        "error",
    ] {
        assert!(told.contains_key(name), "{name}");
    }
    // All kinds, and what a socket is told of itself and of what it asked.
    assert!(told.len() > Kind::ALL.len() - 3, "{}", told.len());
    for (name, message) in told {
        assert_ne!(message["summary"].as_str().unwrap_or_default(), "", "{name}");
        assert!(message["examples"][0]["payload"].is_object(), "{name}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    for text in [docs::rest(), docs::live()] {
        let document: Value = serde_json::from_str(&text).unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        let dead: Vec<_> = found
            .iter()
            .filter(|target| document.pointer(&target[1..]).is_none())
            .collect();
        assert!(!found.is_empty() && dead.is_empty(), "{dead:?}");
    }
}

#[test]
fn every_failure_has_the_body_of_a_problem() {
    let document = document();
    for (name, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status.starts_with(['4', '5']) && !name.contains("/health") {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
            }
        }
    }
}
