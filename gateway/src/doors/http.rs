//! The public router: what every request passes on its way in, and every answer on its way out.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyStream, Limited};
use shared::problem::Problem;
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer};
use tracing::{Instrument, error, field::Empty, info, info_span};
use uuid::Uuid;

use super::{
    PATIENCE,
    armour::armoured,
    docs,
    origins::Origins,
    rest::{self, Rest, problem},
    session::Live,
    socketio,
};
use crate::{
    error::Error,
    features::Backend,
    lifecycle::panic_text,
    telemetry::{
        metrics::{ProblemLabels, RequestLabels, RouteLabels},
        traces::{Cause, Stage},
    },
};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id under which the logs know a request.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

pub fn router(rest: Rest, live: Live, origins: &Origins, over_https: bool) -> Router {
    let backend = rest.backend.clone();
    let requests = dressed(rest::router(rest).merge(docs::router()), backend, origins);
    // Live connections have limits and lifetimes of their own, and are counted elsewhere.
    let live = socketio::router(live, origins.clone()).layer(cors(origins));
    armoured(requests.merge(live), over_https)
}

/// The routes, with everything around them that is the same for all.
pub fn dressed(routes: Router, backend: Arc<Backend>, origins: &Origins) -> Router {
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
        // Every extractor has a limit of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(take_the_rest))
        .layer(cors(origins))
        .layer(from_fn_with_state(backend, observe))
}

fn cors(origins: &Origins) -> CorsLayer {
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
        .allow_origin(origins.for_cors())
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

/// Whoever is refused before we have read their body is still sending it. If we closed on them, they would see a broken connection
/// instead of our answer; so the rest is read and dropped, up to a point, and beyond it we say that we close.
async fn take_the_rest(request: Request, next: Next) -> Response {
    const AT_MOST: usize = 32 * 1024 * 1024;
    const PATIENCE: Duration = Duration::from_secs(10);
    let waits_for_permission = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let body = Lent(Arc::new(Mutex::new(body)));
    let mut response = next
        .run(Request::from_parts(parts, Body::new(body.clone())))
        .await;
    if body.is_end_stream() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let rest = Limited::new(body, AT_MOST);
    let drop_all = async { BodyStream::new(rest).try_for_each(async |_| Ok(())).await };
    let all = !waits_for_permission && matches!(tokio::time::timeout(PATIENCE, drop_all).await, Ok(Ok(())));
    if !all {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A body that is lent to a handler: what it leaves can be read by us.
#[derive(Clone)]
struct Lent(Arc<Mutex<Body>>);

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

/// No request hangs, whatever hangs behind it: a server that was frozen in the middle of a statement breaks no connection and
/// keeps no timeout of its own.
async fn in_time(request: Request, next: Next) -> Response {
    const MINUTE: Duration = Duration::from_secs(60);
    let patience = match request.uri().path() {
        // These wait for their turn at password hashing, a thousand people in a row if need be.
        "/api/auth/register" | "/api/auth/login" => 10 * MINUTE,
        // Images may come over a slow line, and wait for their turn.
        path if path == "/api/attachments/upload" || path.ends_with("/avatar") => 2 * MINUTE,
        _ => PATIENCE,
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
    let span = info_span!("request", request_id = %id, trace_id = Empty, user = Empty);
    let mut stage = backend.bus.traces().request(|| format!("{method} {route}"), &id);
    let cause = Cause {
        request_id: id.as_str().into(),
        trace: stage.as_ref().map(Stage::context),
    };
    if let Some(trace) = &cause.trace {
        span.record("trace_id", tracing::field::display(trace.trace_id()));
    }
    let started = Instant::now();
    let mut response = cause.leads_to(next.run(request)).instrument(span.clone()).await;
    let (took, status) = (started.elapsed(), response.status().as_u16());

    if let Some(stage) = &mut stage {
        stage.set("http.request.method", method.to_string());
        stage.set("http.route", route.clone());
        stage.set("http.response.status_code", i64::from(status));
        if status >= 500 {
            stage.failed(format!("status {status}"));
        }
    }
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
    if let Some(problem) = response.extensions().get::<Arc<Problem>>() {
        metrics
            .problems
            .get_or_create(&ProblemLabels::from(&**problem))
            .inc();
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    // Answers are about people, and some hold tokens: no cache keeps them unless they say so.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
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
