//! The page at `/docs`: it loads nothing from anywhere else, and what it asks of this server is answered.

use http::header;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cluster::Cluster;

async fn get(cluster: &Cluster, path: &str) -> reqwest::Response {
    let url = format!("http://{}{path}", cluster.replicas[0].address);
    reqwest::get(url).await.unwrap()
}

/// The values of `src`, `href` and the like.
fn addresses(text: &str) -> impl Iterator<Item = &str> {
    ["src=\"", "href=\"", "url: \""]
        .into_iter()
        .flat_map(|start| text.split(start).skip(1))
        .map(|rest| rest.split('"').next().unwrap())
}

#[tokio::test]
async fn the_page_and_all_that_it_loads_come_from_here() {
    let cluster = Cluster::start().await;
    let page = get(&cluster, "/docs").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"),
        "{policy}"
    );
    assert!(
        !policy.contains("http") && !policy.contains('*') && !policy.contains("unsafe-eval"),
        "{policy}"
    );

    let page = page.text().await.unwrap();
    let mut wanted: Vec<_> = addresses(&page).map(str::to_owned).collect();
    let script = get(&cluster, "/docs/page.js").await.text().await.unwrap();
    wanted.extend(addresses(&script).map(str::to_owned));
    assert!(
        ["/docs/swagger-ui.js", "/openapi.json", "/realtime.json"]
            .iter()
            .all(|path| wanted.iter().any(|it| it == path))
    );
    for address in wanted.iter().filter(|address| *address != "data:,") {
        assert!(
            address.starts_with('/') && !address.starts_with("//"),
            "{address}"
        );
        let part = get(&cluster, address).await;
        assert_eq!(part.status(), 200, "{address}");
        assert!(!part.bytes().await.unwrap().is_empty(), "{address}");
    }
    assert!(
        !page.contains("<script>") && !page.contains(" style="),
        "the policy forbids code in the page"
    );
    assert_eq!(get(&cluster, "/docs/").await.url().path(), "/docs");
    assert_eq!(get(&cluster, "/docs/index.html").await.status(), 404);
}

/// What the page does when somebody tries an operation: the server that the document names is the one that the page came from, and the
/// token goes where the document says.
#[tokio::test]
async fn what_is_tried_is_asked_of_the_same_server() {
    let cluster = Cluster::start().await;
    let document: Value = get(&cluster, "/openapi.json").await.json().await.unwrap();
    assert_eq!(document["servers"][0]["url"], "/");
    let operation = &document["paths"]["/api/auth/register"]["post"];
    let mut body = operation["requestBody"]["content"]["application/json"]["example"].clone();
    body["username"] = json!("somebody_else");

    let rest = cluster.rest(0);
    let answer = rest
        .post("/api/auth/register", body)
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    let scheme = &document["components"]["securitySchemes"]["accessToken"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    let token = answer.body["accessToken"].as_str().unwrap();
    let address = cluster.replicas[0].address;
    let origin = format!("http://{address}");
    let me = reqwest::Client::new()
        .request(Method::GET, format!("{origin}/api/users/me"))
        .bearer_auth(token)
        .header(header::ORIGIN, &origin)
        .send()
        .await
        .unwrap();
    assert_eq!(
        me.status(),
        200,
        "a page of this server asks it without asking first"
    );
}
