//! What the gateway says of itself to those who write clients: its two documents, and a page to read the first and to try it.

use axum::{
    Router,
    response::{IntoResponse, Redirect},
    routing::{MethodRouter, get},
};
use http::{HeaderValue, header};

use super::{rest::openapi, socketio::document};

/// The page runs its own code and asks its own server. Nobody else is needed, and nobody may put it into a frame. In the styles of
/// Swagger UI there are little pictures.
const PAGE_ONLY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// The page and its parts change with the server, and weigh two megabytes.
const FOR_AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The document of REST, as text.
pub fn rest() -> String {
    let document = openapi::document().to_pretty_json();
    document.expect("the document can be written") + "\n"
}

/// The document of Socket.IO, as text.
pub fn live() -> String {
    format!("{:#}\n", document::document())
}

/// Both, with the names of their files.
pub fn documents() -> [(&'static str, String); 2] {
    [("gateway.json", rest()), ("realtime.json", live())]
}

pub fn router() -> Router {
    Router::new()
        .route("/openapi.json", json(rest()))
        .route("/realtime.json", json(live()))
        .route("/docs/", get(async || Redirect::permanent("/docs")))
        .route(
            "/docs",
            part("text/html; charset=utf-8", include_str!("docs/page.html")),
        )
        .route(
            "/docs/page.js",
            part("text/javascript", include_str!("docs/page.js")),
        )
        .route(
            "/docs/swagger-ui.js",
            part(
                "text/javascript",
                include_str!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js")),
            ),
        )
        .route(
            "/docs/swagger-ui.css",
            part(
                "text/css",
                include_str!(concat!(env!("OUT_DIR"), "/swagger-ui.css")),
            ),
        )
}

fn json(document: String) -> MethodRouter {
    let document: &'static str = document.leak();
    get(async move || ([(header::CONTENT_TYPE, "application/json")], document))
}

/// The page, or something that it loads.
fn part(kind: &'static str, part: &'static str) -> MethodRouter {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, PAGE_ONLY),
        (header::CACHE_CONTROL, FOR_AN_HOUR),
    ];
    get(async move || (headers, part).into_response())
}
