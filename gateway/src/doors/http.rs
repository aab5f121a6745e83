//! The public router: what every request passes on its way in, and every answer on its way out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, header};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use tracing::{Instrument, error, field::Empty, info, info_span};
use uuid::Uuid;

use super::rest::{self, Rest, problem};
use crate::{
    error::Error,
    features::Backend,
    lifecycle::panic_text,
    telemetry::metrics::{RequestLabels, RouteLabels},
};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id under which the logs know a request.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

pub fn router(rest: Rest, cors_origins: &[String]) -> Router {
    let backend = rest.backend.clone();
    dressed(rest::router(rest), backend, cors_origins)
}

/// The routes, with everything around them that is the same for all.
pub fn dressed(routes: Router, backend: Arc<Backend>, cors_origins: &[String]) -> Router {
    // The last layer is the outermost.
    routes
        .fallback(|| async { problem::nothing_here() })
        .method_not_allowed_fallback(|| async { problem::wrong_method() })
        .layer(CatchPanicLayer::custom({
            let backend = backend.clone();
            move |panic: Box<dyn std::any::Any + Send>| {
                error!(panic = panic_text(&*panic), "A request panicked");
                backend.metrics.panics.inc();
                Error::internal("panic").into_response()
            }
        }))
        .layer(from_fn(in_time))
        .layer(from_fn(problem::render))
        .layer(cors(cors_origins))
        .layer(from_fn_with_state(backend, observe))
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(
            origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin.trim_end_matches('/')).ok()),
        )
    };
    let named = [
        "idempotency-key",
        "x-device-name",
        "x-device-id",
        "x-device-type",
        "x-request-id",
    ];
    let headers = [header::AUTHORIZATION, header::CONTENT_TYPE]
        .into_iter()
        .chain(named.map(HeaderName::from_static));
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::HEAD,
            Method::OPTIONS,
        ])
        .allow_headers(headers.collect::<Vec<_>>())
        .expose_headers([REQUEST_ID, header::RETRY_AFTER])
        .max_age(Duration::from_secs(600))
}

/// No request hangs, whatever hangs behind it: a server that was frozen in the middle of a statement breaks no connection and
/// keeps no timeout of its own.
async fn in_time(request: Request, next: Next) -> Response {
    const MINUTE: Duration = Duration::from_secs(60);
    let patience = match request.uri().path() {
        // These wait for their turn at password hashing, a thousand people in a row if need be.
        "/api/auth/register" | "/api/auth/login" => 10 * MINUTE,
        // A picture may come over a slow line.
        "/api/users/me/avatar" => 2 * MINUTE,
        _ => MINUTE / 3,
    };
    let answer = tokio::time::timeout(patience, next.run(request)).await;
    answer.unwrap_or_else(|_| Error::unavailable("a request took too long").into_response())
}

/// Give the request its id, and say what became of it: in the answer, in one log line, in the metrics.
async fn observe(State(backend): State<Arc<Backend>>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    request.extensions_mut().insert(RequestId(id.clone()));

    let metrics = &backend.metrics;
    let _under_way = UnderWay::new(&metrics.requests_under_way);
    let span = info_span!("request", request_id = %id, user = Empty);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (took, status) = (started.elapsed(), response.status().as_u16());

    span.in_scope(
        || info!(%method, route, status, took_ms = took.as_secs_f64() * 1_000.0, "Answered a request"),
    );
    let method = (&method).into();
    metrics
        .requests
        .get_or_create(&RequestLabels {
            method,
            route: route.clone(),
            status,
        })
        .inc();
    metrics
        .request_seconds
        .get_or_create(&RouteLabels { method, route })
        .observe(took.as_secs_f64());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The client's own id if it is a reasonable one, so that its logs and ours can be joined.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let reasonable = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    given
        .filter(reasonable)
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// Counts a request as long as it is held, also when the client hangs up in the middle.
struct UnderWay<'a>(&'a prometheus_client::metrics::gauge::Gauge);

impl<'a> UnderWay<'a> {
    fn new(gauge: &'a prometheus_client::metrics::gauge::Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
