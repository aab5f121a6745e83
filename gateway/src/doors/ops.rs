//! The port for machines: metrics and health. It is not meant to be reachable from the internet.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use axum::{Router, extract::State, response::IntoResponse, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::{
    armour::armoured,
    rest::{Rest, health, problem},
};
use crate::features::Backend;

/// Whoever asks about health wants to know soon.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn router(rest: Rest) -> Router {
    let routes = Router::new()
        .route("/metrics", get(metrics).with_state(rest.backend.clone()))
        .merge(Router::from(health::router().with_state(rest)))
        .fallback(|| async { problem::nothing_here() })
        .layer(axum::middleware::from_fn(problem::render));
    armoured(routes, false)
}

/// Ask the replica that serves machines there whether it is ready; an error says why not.
pub async fn ask_whether_ready(mut address: SocketAddr) -> anyhow::Result<()> {
    // Who listens everywhere is asked here.
    if address.ip().is_unspecified() {
        let here = if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        };
        address.set_ip(here);
    }
    let answer = timeout(PATIENCE, ask(address))
        .await
        .unwrap_or_else(|late| Err(late.into()))
        .with_context(|| format!("no answer from {address} (OPS_LISTEN)"))?;
    let (status, said) = answer;
    if status == StatusCode::OK {
        return Ok(());
    }
    bail!("not ready: {}", String::from_utf8_lossy(&said))
}

async fn ask(address: SocketAddr) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let request = Request::get("/health/ready")
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    };
    // The connection is what moves the bytes.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

async fn metrics(State(backend): State<Arc<Backend>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], backend.metrics.render())
}
