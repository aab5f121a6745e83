//! From a request to what a use case takes: who asks, and for what. Everything that does not fit is an `Error` of ours.

use std::{net::IpAddr, time::Duration};

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use shared::problem::Reason;

use super::Rest;
use crate::{
    doors::{
        json::{from_json, misfit},
        serve::Peer,
    },
    error::{Error, Result},
    features::{Caller, Visitor, auth::identify::identify},
};

/// A JSON body may have this many bytes (contract Q18).
const JSON_LIMIT: usize = 1024 * 1024;
/// A body that trickles in is given up after this.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

impl FromRequestParts<Rest> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self> {
        let header = parts
            .headers
            .get(header::AUTHORIZATION)
            .ok_or(Error::Unauthenticated(Reason::TokenMissing))?;
        let token = header.to_str().ok().and_then(|text| text.split_once(' '));
        let token = token
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let token = token.ok_or(Error::Unauthenticated(Reason::TokenInvalid))?;
        let caller = identify(&rest.backend, token).await?;
        tracing::Span::current().record("user", tracing::field::display(caller.user));
        Ok(caller)
    }
}

impl FromRequestParts<Rest> for Visitor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self> {
        let peer = parts
            .extensions
            .get::<Peer>()
            .ok_or_else(|| Error::internal("a request from nowhere"))?;
        Ok(Self {
            address: client_address(peer.0.ip().to_canonical(), &parts.headers, &rest.trusted_proxies),
            device_name: label(&parts.headers, "x-device-name", 100),
            user_agent: label(&parts.headers, header::USER_AGENT.as_str(), 400),
        })
    }
}

/// Where the request really comes from. Each proxy appends the address it saw; we go back from the nearest as long as we trust
/// whoever wrote the entry. What a client claims by itself lies beyond that and is never looked at.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[ipnet::IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let lines = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|line| line.to_str().ok());
    let hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let mut address = peer;
    for hop in hops.iter().rev() {
        if !is_trusted(address) {
            break;
        }
        let Ok(next) = hop.parse::<IpAddr>() else { break };
        address = next.to_canonical();
    }
    address
}

/// A header for people to read later: without control characters, and not longer than it needs to be.
fn label(headers: &HeaderMap, name: &str, at_most: usize) -> Option<String> {
    let text = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    let label: String = text.chars().filter(|c| !c.is_control()).take(at_most).collect();
    let label = label.trim();
    (!label.is_empty()).then(|| label.to_owned())
}

/// A JSON body that is required.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Rest> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &Rest) -> Result<Self> {
        let is_json = is_json(request.headers())?;
        let bytes = read(request).await?;
        if bytes.is_empty() {
            return Err(Error::invalid("body", "is required"));
        }
        is_json.then_some(()).ok_or_else(no_json)?;
        from_json(&bytes).map(Self)
    }
}

/// A JSON body that may be left out; an empty one may call itself what it likes.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<Rest> for OptionalJson<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &Rest) -> Result<Self> {
        let is_json = is_json(request.headers())?;
        let bytes = read(request).await?;
        if bytes.is_empty() || *bytes == *b"null" {
            return Ok(Self(T::default()));
        }
        is_json.then_some(()).ok_or_else(no_json)?;
        from_json(&bytes).map(Self)
    }
}

/// JSON, or without any claim to be something else.
fn is_json(headers: &HeaderMap) -> Result<bool> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return Ok(true);
    };
    let kind = kind
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    Ok(kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")))
}

/// How many bytes are about to come, if the client says so.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read(request: Request) -> Result<Bytes> {
    if announced(request.headers()).is_some_and(|length| length > JSON_LIMIT as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), JSON_LIMIT);
    match tokio::time::timeout(BODY_TIMEOUT, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Error::invalid("body", "ended before it was complete")),
        Err(_) => Err(Error::invalid("body", "did not arrive in time")),
    }
}

pub(super) fn too_large() -> Error {
    Error::TooLarge("The body must not be larger than 1 MB.".into())
}

pub(super) fn no_json() -> Error {
    Error::Unsupported("Please send JSON (Content-Type: application/json).".into())
}

/// What stands behind the question mark.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Rest> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Rest) -> Result<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        let value = serde_path_to_error::deserialize(reader);
        value
            .map(Self)
            .map_err(|error| misfit(&error.path().to_string(), &error.inner().to_string()))
    }
}

/// The one id in a path.
#[derive(Debug)]
pub struct PathId<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Rest> for PathId<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, rest: &Rest) -> Result<Self> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, rest).await;
        path.map(|path| Self(path.0))
            .map_err(|_| Error::invalid("id", "must be a UUID"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let address = |peer: &str, header: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in header {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(
            address("203.0.113.9", &["1.1.1.1"]),
            "203.0.113.9",
            "a client claims something"
        );
        assert_eq!(address("10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(
            address("10.0.0.1", &["6.6.6.6, 1.1.1.1"]),
            "1.1.1.1",
            "a client claims something through a proxy"
        );
        assert_eq!(
            address("10.0.0.1", &["6.6.6.6", "1.1.1.1, 10.0.0.2"]),
            "1.1.1.1",
            "two proxies"
        );
        assert_eq!(address("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
    }
}
