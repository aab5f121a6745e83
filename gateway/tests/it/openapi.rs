//! The committed document equals the generated one, and the served one too.

use std::{env, fs, path::Path};

use gateway::doors::rest::openapi::document;
use serde_json::Value;

use crate::cluster::Cluster;

#[test]
fn the_committed_document_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/gateway.json");
    let generated = document().to_pretty_json().unwrap() + "\n";
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &generated).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == generated,
        "openapi/gateway.json is not what the routes say; run: cargo run -p gateway -- openapi"
    );
}

#[tokio::test]
async fn the_served_document_is_the_same() {
    let cluster = Cluster::start().await;
    let answer = cluster
        .rest(0)
        .get("/openapi.json")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    let generated: Value = serde_json::from_str(&document().to_json().unwrap()).unwrap();
    assert_eq!(answer.body, generated);
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
    let document: Value = serde_json::from_str(&document().to_json().unwrap()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    let dead: Vec<_> = found
        .iter()
        .filter(|target| document.pointer(&target[1..]).is_none())
        .collect();
    assert!(!found.is_empty() && dead.is_empty(), "{dead:?}");
}

#[test]
fn every_failure_has_the_body_of_a_problem() {
    let document: Value = serde_json::from_str(&document().to_json().unwrap()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                if status.starts_with(['4', '5']) && !path.contains("/health") {
                    let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
                }
            }
        }
    }
}
