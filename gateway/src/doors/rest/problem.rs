//! Failures as answers. Whatever fails on the way in or out, here or in a layer below, leaves with the same kind of body.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use shared::problem::{Code, Problem};
use tracing::{error, warn};

use crate::{doors::http::RequestId, error::Error};

const JSON: &str = "application/problem+json";
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

impl IntoResponse for Error {
    /// The status and the headers; the body is written by `render`, which knows the request.
    fn into_response(self) -> Response {
        match &self {
            Self::Internal(cause) => error!(cause = %cause, "A request failed"),
            Self::Unavailable(cause) => warn!(cause = %cause, "A request could not be served"),
            _ => {}
        }
        let problem = self.problem();
        let mut response = status_of(&problem).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = problem.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Self::TooMany {
            limit: Some(limit), ..
        } = self
        {
            headers.insert(LIMIT, limit.into());
            headers.insert(REMAINING, 0.into());
            headers.insert(RESET, problem.retry_after.unwrap_or(0).into());
        }
        if problem.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Arc::new(problem));
        response
    }
}

fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// No route has this path.
pub fn nothing_here() -> Response {
    let mut response = StatusCode::NOT_FOUND.into_response();
    response
        .extensions_mut()
        .insert(Arc::new(Problem::from(Code::NotFound)));
    response
}

/// A route has this path, but not for this method.
pub fn wrong_method() -> Response {
    let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
    response
        .extensions_mut()
        .insert(Arc::new(Problem::from(Code::MethodNotAllowed)));
    response
}

/// Give every failure its body: the problem that a handler left, or one made from the bare status that a layer answered.
pub async fn render(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
    let response = next.run(request).await;
    if !response.status().is_client_error() && !response.status().is_server_error() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Arc<Problem>>() {
        Some(problem) => Arc::unwrap_or_clone(problem),
        // A body that somebody wrote on purpose, such as the health of a replica that is not ready.
        None if is_json(&parts.headers) => return Response::from_parts(parts, body),
        None => Code::of_status(parts.status.as_u16()).into(),
    };
    // The body says what the status line says, whichever layer chose it.
    let status = parts.status.as_u16();
    let problem = Problem {
        instance: Some(path),
        request_id: id,
        status,
        status_code: status,
        ..problem
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    let body = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
    // For whoever counts.
    parts.extensions.insert(Arc::new(problem));
    Response::from_parts(parts, body)
}

fn is_json(headers: &http::HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}
