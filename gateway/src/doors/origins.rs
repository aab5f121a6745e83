//! Whose pages may talk to us.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use tower_http::cors::AllowOrigin;

/// The origins of `CORS_ORIGINS`, exact; all, if one of them is `*`.
#[derive(Clone, Debug)]
pub struct Origins(Arc<[HeaderValue]>);

impl Origins {
    pub fn new(origins: &[String]) -> Self {
        let origins = origins.iter();
        Self(
            origins
                .filter_map(|origin| HeaderValue::from_str(origin).ok())
                .collect(),
        )
    }

    /// For what browsers ask us before and after they let a page see an answer.
    pub fn for_cors(&self) -> AllowOrigin {
        if self.are_all() {
            AllowOrigin::any()
        } else {
            AllowOrigin::list(self.0.iter().cloned())
        }
    }

    /// For what browsers do not ask about: a page may open a WebSocket to anywhere, and only says where it comes from. Whoever says
    /// nothing is no page.
    pub fn may_connect(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        self.are_all() || self.0.contains(origin) || is_ours(origin, headers)
    }

    fn are_all(&self) -> bool {
        self.0.iter().any(|origin| origin == "*")
    }
}

/// A page that was served under the very address that it connects to. Its scheme is not compared: behind a proxy we do not know ours.
fn is_ours(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok();
    let named = origin.and_then(|origin| {
        let https = origin.strip_prefix("https://").map(|host| (host, ":443"));
        https.or_else(|| origin.strip_prefix("http://").map(|host| (host, ":80")))
    });
    // Browsers leave the usual port out; other clients may not.
    match (named, host) {
        (Some((named, port)), Some(host)) => {
            let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
            bare(named) == bare(host)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_connect(allowed: &[&str], origin: Option<&str>, host: Option<&str>) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|origin| (*origin).to_owned()).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::ORIGIN, origin), (header::HOST, host)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        Origins::new(&allowed).may_connect(&headers)
    }

    #[test]
    fn origins_are_compared_exactly() {
        let allowed = ["http://localhost:5173", "https://chat.example"];
        let host = Some("gateway.example:3000");
        for origin in [
            None,
            Some("http://localhost:5173"),
            Some("https://chat.example"),
            // The address itself.
            Some("http://gateway.example:3000"),
            Some("https://Gateway.example:3000"),
        ] {
            assert!(may_connect(&allowed, origin, host), "{origin:?}");
        }
        for origin in [
            "null",
            "",
            "http://localhost",
            "http://localhost:51730",
            "https://localhost:5173",
            "https://chat.example.evil.example",
            "https://evil.example/https://chat.example",
            "https://sub.chat.example",
            "http://gateway.example",
            "gateway.example:3000",
            "*",
        ] {
            assert!(!may_connect(&allowed, Some(origin), host), "{origin}");
        }
        assert!(!may_connect(&allowed, Some("http://gateway.example:3000"), None));
        assert!(may_connect(&["*"], Some("null"), host));
    }

    #[test]
    fn a_usual_port_may_be_left_out() {
        for (origin, host, is_same) in [
            ("https://chat.example", "chat.example:443", true),
            ("https://chat.example:443", "chat.example", true),
            ("http://chat.example", "chat.example:80", true),
            ("http://chat.example", "chat.example:443", false),
            ("https://chat.example", "chat.example:80", false),
        ] {
            assert_eq!(
                may_connect(&[], Some(origin), Some(host)),
                is_same,
                "{origin} {host}"
            );
        }
    }
}
