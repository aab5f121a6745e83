//! The port for machines: metrics and health. It is not meant to be reachable from the internet.

use std::sync::Arc;

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::header;

use super::rest::{Rest, health, problem};
use crate::features::Backend;

pub fn router(rest: Rest) -> Router {
    Router::new()
        .route("/metrics", get(metrics).with_state(rest.backend.clone()))
        .merge(Router::from(health::router().with_state(rest)))
        .fallback(|| async { problem::nothing_here() })
        .layer(axum::middleware::from_fn(problem::render))
}

async fn metrics(State(backend): State<Arc<Backend>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], backend.metrics.render())
}
