//! Images, by addresses that never change and cannot be guessed.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Rest;
use crate::{error::Result, features::media::fetch::fetch};

/// What is kept under an address never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Whatever it is, it does nothing but show.
const SHOW_ONLY: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new().routes(routes!(get_image))
}

/// An image.
#[utoipa::path(get, path = "/media/{key}", tag = "media", operation_id = "getImage", security(()),
    params(("key" = String, Path)),
    responses((status = 200, content_type = "image/*", description = "The image."),
        (status = 304, description = "The client has it already."),
        (status = 404, description = "There is no image at this address.")))]
async fn get_image(
    State(rest): State<Rest>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let tag = format!("\"{key}\"");
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|tags| {
        tags.split(',')
            .any(|known| known.trim().trim_start_matches("W/") == tag)
    });
    let image = fetch(&rest, &key).await?;
    let mut answer = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        image.bytes.into_response()
    };
    let headers = answer.headers_mut();
    if let (false, Ok(kind)) = (is_known, HeaderValue::from_str(&image.content_type)) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, FOR_EVER);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CONTENT_SECURITY_POLICY, SHOW_ONLY);
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    Ok(answer)
}
