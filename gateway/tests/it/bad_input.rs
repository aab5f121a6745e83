//! Whatever comes in, what goes out has the contract's shape.

use gateway::doors::origins::Origins;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tools::client::{Answer, Socket};

use crate::cluster::Cluster;

/// The body of every failure: the client's fields, and those of RFC 9457.
fn assert_is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    let body = &answer.body;
    assert!(
        body["error"].as_str().is_some_and(|text| text.ends_with('.')),
        "{}",
        answer.text
    );
    assert_eq!(body["error"], body["message"]);
    assert_eq!(body["code"], code);
    assert_eq!(
        (&body["statusCode"], &body["status"]),
        (&json!(status), &json!(status))
    );
    for key in ["type", "title", "instance", "requestId"] {
        assert!(body[key].is_string(), "{key}: {}", answer.text);
    }
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("x-request-id"), body["requestId"].as_str());
}

#[tokio::test]
async fn bad_bodies() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let json = Some("application/json");
    let register = "/api/auth/register";
    let bodies: [(&[u8], u16, &str); 12] = [
        (b"", 400, "VALIDATION_ERROR"),
        (b"{", 400, "VALIDATION_ERROR"),
        (b"null", 400, "VALIDATION_ERROR"),
        (b"[]", 400, "VALIDATION_ERROR"),
        (
            br#"["ada","Password123","Password123",null]"#,
            400,
            "VALIDATION_ERROR",
        ),
        (b"\"text\"", 400, "VALIDATION_ERROR"),
        (b"{}", 400, "VALIDATION_ERROR"),
        (b"\xff\xfe", 400, "VALIDATION_ERROR"),
        (
            br#"{"username":{"$ne":null},"password":[],"passwordConfirm":1}"#,
            400,
            "VALIDATION_ERROR",
        ),
        (
            br#"{"username":"\u0000\u0000\u0000","password":"Aa345678","passwordConfirm":"Aa345678"}"#,
            400,
            "VALIDATION_ERROR",
        ),
        (
            br#"{"username":"ada","password":"Aa345678","passwordConfirm":"Aa345679"}"#,
            400,
            "VALIDATION_ERROR",
        ),
        (
            br#"{"username":"ada","password":"weak","passwordConfirm":"weak"}"#,
            400,
            "VALIDATION_ERROR",
        ),
    ];
    for (body, status, code) in bodies {
        let answer = rest.raw(Method::POST, register, json, body).await.unwrap();
        assert_is_problem(&answer, status, code);
        assert!(answer.body["details"][0]["field"].is_string(), "{}", answer.text);
    }
    let good = br#"{"username":"ada","password":"Aa345678","passwordConfirm":"Aa345678"}"#;
    for kind in [
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "nonsense",
    ] {
        let answer = rest.raw(Method::POST, register, Some(kind), good).await.unwrap();
        assert_is_problem(&answer, 415, "UNSUPPORTED_MEDIA_TYPE");
    }
    rest.raw(
        Method::POST,
        register,
        Some("application/json; charset=utf-8"),
        good,
    )
    .await
    .unwrap()
    .expect(201)
    .unwrap();
}

#[tokio::test]
async fn a_huge_body_is_refused_and_the_connection_survives_it() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let ada = rest.register("ada").await.unwrap();
    let huge = |bytes: usize| format!("{{\"displayName\":\"{}\"}}", "x".repeat(bytes));
    for bytes in [1024 * 1024, 5 * 1024 * 1024] {
        let answer = ada
            .rest
            .raw(
                Method::PUT,
                "/api/users/me",
                Some("application/json"),
                huge(bytes),
            )
            .await
            .unwrap();
        assert_is_problem(&answer, 413, "PAYLOAD_TOO_LARGE");
    }
    let large = ada
        .rest
        .raw(
            Method::PUT,
            "/api/users/me",
            Some("application/json"),
            huge(1024 * 1024 - 100),
        )
        .await
        .unwrap();
    assert_is_problem(&large, 400, "VALIDATION_ERROR");
    // Without a Content-Length, the limit is found while reading.
    let chunks = futures_util::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>("x".repeat(64 * 1024))));
    let request = ada
        .rest
        .request(Method::PUT, "/api/users/me")
        .header("content-type", "application/json");
    let answer = tools::client::rest::answer(request.body(reqwest::Body::wrap_stream(chunks))).await;
    if let Ok(answer) = answer {
        assert_is_problem(&answer, 413, "PAYLOAD_TOO_LARGE");
    }
    ada.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn unknown_addresses_and_wrong_methods() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/nothing",
        "/api/users",
        "/users/me",
        "/metrics",
        "/api/auth/login/",
        "/%00",
        "/%ff",
    ] {
        assert_is_problem(&rest.get(path).await.unwrap(), 404, "NOT_FOUND");
    }
    for (method, path) in [
        (Method::GET, "/api/auth/login"),
        (Method::DELETE, "/api/users/me"),
        (Method::TRACE, "/health"),
    ] {
        let answer = rest.ask(method, path, None).await.unwrap();
        assert_is_problem(&answer, 405, "METHOD_NOT_ALLOWED");
        assert!(
            answer.header("allow").is_some_and(|allow| !allow.is_empty()),
            "{path}"
        );
    }
    let strange = Method::from_bytes(b"STRANGE").unwrap();
    assert_is_problem(
        &rest.ask(strange, "/api/users/me", None).await.unwrap(),
        405,
        "METHOD_NOT_ALLOWED",
    );
}

#[tokio::test]
async fn request_ids() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let mine = rest
        .with_header("x-request-id", "my-id-7")
        .get("/api/users/me")
        .await
        .unwrap();
    assert_eq!(
        (mine.header("x-request-id"), &mine.body["requestId"]),
        (Some("my-id-7"), &json!("my-id-7"))
    );
    for bad in ["", "with space", &"x".repeat(200)] {
        let answer = rest
            .with_header("x-request-id", bad)
            .get("/health/live")
            .await
            .unwrap();
        let id = answer.header("x-request-id").unwrap();
        assert!(id != bad && id.len() == 36, "{id}");
    }
}

#[tokio::test]
async fn pages_of_known_origins_may_call_and_others_may_not() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let preflight = |origin: &str| {
        let rest = rest
            .with_header("origin", origin)
            .with_header("access-control-request-method", "PUT");
        rest.with_header("access-control-request-headers", "authorization,content-type")
    };
    for origin in [
        "http://localhost:5173",
        "http://localhost",
        "http://localhost:8080",
    ] {
        let answer = preflight(origin)
            .ask(Method::OPTIONS, "/api/users/me", None)
            .await
            .unwrap();
        assert!(answer.is_success(), "{}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        let headers = answer.header("access-control-allow-headers").unwrap();
        assert!(headers.contains("authorization") && headers.contains("content-type"));
        // A page must be able to read why it failed.
        let failed = rest
            .with_header("origin", origin)
            .get("/api/users/me")
            .await
            .unwrap();
        assert_eq!(
            (failed.status, failed.header("access-control-allow-origin")),
            (401, Some(origin))
        );
        assert!(
            failed.headers.get_all("vary").iter().any(|vary| vary
                .to_str()
                .unwrap()
                .to_lowercase()
                .contains("origin"))
        );
    }
    for origin in ["https://evil.example", "http://localhost:5174", "null"] {
        let answer = preflight(origin)
            .ask(Method::OPTIONS, "/api/users/me", None)
            .await
            .unwrap();
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
}

/// A browser asks nobody before it opens a WebSocket, and sends simple requests all the same: so it is we who look.
#[tokio::test]
async fn pages_of_other_sites_get_no_socket() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let ada = rest.register("ada").await.unwrap();
    let own = rest.base().to_owned();
    let polling = "/socket.io/?EIO=4&transport=polling";
    let websocket = |origin: &str| {
        let rest = rest
            .with_header("connection", "upgrade")
            .with_header("upgrade", "websocket")
            .with_header("sec-websocket-version", "13")
            .with_header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        rest.with_header("origin", origin)
    };
    for origin in ["http://localhost:5173", "http://localhost:3000", &own] {
        let page = rest.with_header("origin", origin);
        page.get(polling).await.unwrap().expect(200).unwrap();
        let upgraded = websocket(origin)
            .get("/socket.io/?EIO=4&transport=websocket")
            .await
            .unwrap();
        upgraded.expect(101).unwrap();
    }
    // Who says nothing is no page.
    rest.get(polling).await.unwrap().expect(200).unwrap();
    Socket::open(&own, &ada.access_token).await.unwrap();

    for origin in ["https://evil.example", "http://localhost:5174", "null"] {
        let answers = [
            rest.with_header("origin", origin).get(polling).await.unwrap(),
            websocket(origin)
                .get("/socket.io/?EIO=4&transport=websocket")
                .await
                .unwrap(),
        ];
        for answer in answers {
            let refused = answer.expect(403).unwrap();
            assert_eq!(
                refused.body,
                json!({"code": 4, "message": "Forbidden"}),
                "{origin}"
            );
            assert_eq!(refused.header("access-control-allow-origin"), None, "{origin}");
        }
    }
}

#[tokio::test]
async fn every_answer_says_what_browsers_must_not_do_with_it() {
    for (public_url, hsts) in [
        ("http://localhost:3000", None),
        ("https://chat.example", Some("max-age=31536000")),
    ] {
        let cluster = Cluster::with(|config| config.http.public_url = public_url.to_owned()).await;
        let rest = cluster.rest(0);
        for path in [
            "/api/users/me",
            "/health",
            "/nowhere",
            "/openapi.json",
            "/socket.io/?EIO=4&transport=polling",
        ] {
            let answer = rest.get(path).await.unwrap();
            for (name, value) in [
                ("x-content-type-options", Some("nosniff")),
                ("referrer-policy", Some("no-referrer")),
                (
                    "content-security-policy",
                    Some("default-src 'none'; frame-ancestors 'none'"),
                ),
                ("cross-origin-resource-policy", Some("same-origin")),
                ("strict-transport-security", hsts),
            ] {
                assert_eq!(answer.header(name), value, "{name} of {path} at {public_url}");
            }
        }
        let metrics = cluster.ops(0).get("/metrics").await.unwrap();
        assert_eq!(metrics.header("x-content-type-options"), Some("nosniff"));
    }
}

/// What no HTTP client would send.
#[tokio::test]
async fn garbage_on_the_wire_harms_nobody() {
    let cluster = Cluster::start().await;
    let address = cluster.replicas[0].address;
    let garbage: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /api/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n",
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    cluster
        .rest(0)
        .get("/health/live")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
}

#[tokio::test]
async fn hostile_texts_come_back_as_they_are_or_not_at_all() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    for name in [
        "'; drop table users; --",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "\u{202e}gnp.exe",
        "👩‍👩‍👧‍👦",
        "a\u{300}",
    ] {
        let answer = ada
            .rest
            .put("/api/users/me", json!({"displayName": name}))
            .await
            .unwrap()
            .expect(200)
            .unwrap();
        assert_eq!(answer.body["displayName"], name);
    }
    let hostile = json!({"displayName": "<img src=x onerror=alert(1)>Ada<script>"});
    let answer = ada
        .rest
        .put("/api/users/me", hostile)
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    assert_eq!(answer.body["displayName"], Value::from("Ada"));
}

#[tokio::test]
async fn a_panic_ends_one_request_only() {
    let cluster = Cluster::start().await;
    let backend = cluster.replicas[0].backend.clone();
    let routes = axum::Router::new()
        .route(
            "/panic",
            axum::routing::get(async || -> () { panic!("a secret cause") }),
        )
        .route("/fine", axum::routing::get(async || "fine"));
    let router = gateway::doors::http::dressed(
        routes,
        backend,
        &Origins::new(&["http://localhost:5173".to_owned()]),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rest = tools::client::Rest::new(format!("http://{}", listener.local_addr().unwrap()));
    let tasks = cluster.replicas[0].tasks.clone();
    tasks.spawn(
        "a door that panics",
        gateway::doors::serve::serve(listener, None, router, tasks.clone()),
    );
    for _ in 0..3 {
        let answer = rest
            .with_header("origin", "http://localhost:5173")
            .get("/panic")
            .await
            .unwrap();
        assert_is_problem(&answer, 500, "INTERNAL_ERROR");
        assert!(!answer.text.contains("secret"), "{}", answer.text);
        assert!(answer.header("access-control-allow-origin").is_some());
        rest.get("/fine").await.unwrap().expect(200).unwrap();
    }
    assert!(
        cluster
            .ops(0)
            .get("/metrics")
            .await
            .unwrap()
            .text
            .contains("messenger_panics_total 3")
    );
}

/// Who is refused before their body was read is still sending it, and gets to see the answer all the same: also a client that sends
/// everything before it reads anything.
#[tokio::test]
async fn whoever_is_refused_early_sees_why() {
    const BODY: usize = 3 * 1024 * 1024;
    let cluster = Cluster::start().await;
    for (line, status) in [
        ("PUT /api/users/me", 401),
        ("POST /nope", 404),
        ("DELETE /api/users/me", 405),
        ("POST /api/auth/login", 413),
    ] {
        let mut stream = TcpStream::connect(cluster.replicas[0].address).await.unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {BODY}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..BODY / (64 * 1024) {
            stream
                .write_all(&[b'x'; 64 * 1024])
                .await
                .unwrap_or_else(|error| panic!("{line}: {error}"));
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let mut answer = [0; 12];
        stream
            .read_exact(&mut answer)
            .await
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(
            String::from_utf8_lossy(&answer),
            format!("HTTP/1.1 {status}"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn nested_markup_in_a_name_harms_nobody() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    for levels in [10, 400, 5_000, 100_000] {
        let name = format!("{}{}", "<".repeat(levels), "a>".repeat(levels));
        let answer = ada
            .rest
            .put("/api/users/me", json!({ "displayName": name }))
            .await
            .unwrap();
        assert!([200, 400].contains(&answer.status), "{}", answer.text);
    }
    for body in [
        json!({"status": 0}),
        json!({"status": {"online": null}}),
        json!({"status": ["away"]}),
    ] {
        let answer = ada.rest.put("/api/users/me", body).await.unwrap();
        assert_is_problem(&answer, 400, "VALIDATION_ERROR");
        assert_eq!(answer.body["details"][0]["field"], "status");
    }
}
