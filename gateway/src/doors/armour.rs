//! What every answer tells browsers not to do with it.

use axum::{Router, middleware::map_response, response::Response};
use http::{HeaderName, HeaderValue, header};

/// Answers are data: nothing in them may run, and no page may show them in a frame. What is more than data says so itself.
const DATA_ONLY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// A year, which is what browsers take seriously.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Put the headers on every answer that does not have its own. `over_https` says that browsers reach us over HTTPS only.
pub fn armoured(router: Router, over_https: bool) -> Router {
    router.layer(map_response(move |mut response: Response| async move {
        let mut add = |name: HeaderName, value: HeaderValue| {
            response.headers_mut().entry(name).or_insert(value);
        };
        add(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        add(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        add(header::CONTENT_SECURITY_POLICY, DATA_ONLY);
        // Pages of other origins get at data by CORS, which asks nobody about this; images say `cross-origin`.
        add(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        if over_https {
            add(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
        }
        response
    }))
}
