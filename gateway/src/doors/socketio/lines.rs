//! Which connections carry which socket, so that a socket can be dropped without a word: after a word, its client would not come
//! back (contract 3.12).
//!
//! A WebSocket has one connection, and cutting it is enough. A polling client comes with a new request each time: once it is cut
//! off, it is told that nobody knows it, which it takes for a broken transport.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio_util::sync::CancellationToken;

use super::handshake::value_of;
use crate::doors::line::Line;

/// Tells the balancer which replica knows this session, see `tools/src/dev_stack/balancer.rs`.
const ENGINE_SID: HeaderName = HeaderName::from_static("x-engine-sid");
/// A session that never becomes a socket is forgotten after this.
const UNCLAIMED: Duration = Duration::from_secs(90);
/// The answer to a polling handshake is much shorter than this.
const HANDSHAKE: usize = 4_096;

#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<HashMap<String, Strand>>>);

/// What one session comes over.
#[derive(Debug)]
pub struct Strand {
    polling: CancellationToken,
    websocket: Option<Line>,
    began: Instant,
    is_claimed: bool,
}

impl Strand {
    fn new() -> Self {
        Self {
            polling: CancellationToken::new(),
            websocket: None,
            began: Instant::now(),
            is_claimed: false,
        }
    }

    pub fn cut(&self) {
        self.polling.cancel();
        if let Some(line) = &self.websocket {
            line.cut();
        }
    }
}

impl Lines {
    /// A session became a socket. `line` is what its first request came over.
    pub fn claim(&self, sid: &str, line: Option<Line>) {
        let mut strands = self.strands();
        tidy(&mut strands);
        let strand = strands.entry(sid.to_owned()).or_insert_with(Strand::new);
        strand.is_claimed = true;
        if let Some(line) = line {
            strand.websocket.get_or_insert(line);
        }
    }

    /// Drop the socket without a word.
    pub fn cut(&self, sid: &str) {
        if let Some(strand) = self.strands().get(sid) {
            strand.cut();
        }
    }

    /// Have the socket in hand, to drop it whatever the library forgets meanwhile.
    pub fn take(&self, sid: &str) -> Option<Strand> {
        self.strands().remove(sid)
    }

    /// The socket is gone.
    pub fn forget(&self, sid: &str) {
        self.strands().remove(sid);
    }

    fn began(&self, sid: String) {
        let mut strands = self.strands();
        tidy(&mut strands);
        strands.insert(sid, Strand::new());
    }

    /// The session moves to a WebSocket.
    fn upgrades(&self, sid: &str, line: Line) {
        if let Some(strand) = self.strands().get_mut(sid) {
            if strand.polling.is_cancelled() {
                line.cut();
            }
            strand.websocket = Some(line);
        }
    }

    fn polling(&self, sid: &str) -> Option<CancellationToken> {
        self.strands().get(sid).map(|strand| strand.polling.clone())
    }

    fn strands(&self) -> MutexGuard<'_, HashMap<String, Strand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Now and then, drop what nobody said goodbye for: sessions that never became a socket, and those whose client left in that very moment.
fn tidy(strands: &mut HashMap<String, Strand>) {
    if strands.len().is_power_of_two() {
        strands.retain(|_, strand| {
            let is_gone = strand.websocket.as_ref().is_some_and(Line::is_gone);
            !is_gone && (strand.is_claimed || strand.began.elapsed() < UNCLAIMED)
        });
    }
}

/// Note which requests belong to which session.
pub async fn follow(State(lines): State<Lines>, request: Request, next: Next) -> Response {
    let is_websocket = value_of(request.uri(), "transport").as_deref() == Some("websocket");
    let response = match value_of(request.uri(), "sid") {
        None if is_websocket => next.run(request).await,
        None => handshake(&lines, next.run(request).await).await,
        // The library would upgrade first and look afterwards.
        Some(sid) if is_websocket && lines.polling(&sid).is_none() => unknown_session(),
        Some(sid) if is_websocket => {
            if let Some(line) = request.extensions().get::<Line>() {
                lines.upgrades(&sid, line.clone());
            }
            next.run(request).await
        }
        Some(sid) => {
            // Sessions that nobody knows are for the library to refuse.
            let cut_off = lines.polling(&sid).unwrap_or_default();
            tokio::select! {
                biased;
                () = cut_off.cancelled() => unknown_session(),
                response = next.run(request) => response,
            }
        }
    };
    if response.status() == StatusCode::BAD_REQUEST {
        return with_number(response).await;
    }
    response
}

/// Clients know the codes of refusals as numbers; the library writes them as text.
async fn with_number(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(mut bytes) = to_bytes(body, HANDSHAKE).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if let Ok(mut refusal) = serde_json::from_slice::<serde_json::Value>(&bytes)
        && let Some(code) = refusal["code"].as_str().and_then(|code| code.parse::<u8>().ok())
    {
        refusal["code"] = code.into();
        bytes = refusal.to_string().into();
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(bytes))
}

/// Read from the answer to a handshake which session it began.
async fn handshake(lines: &Lines, response: Response) -> Response {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, HANDSHAKE).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let open: Option<serde_json::Value> = bytes
        .strip_prefix(b"0")
        .and_then(|json| serde_json::from_slice(json).ok());
    let sid = open.as_ref().and_then(|open| open.get("sid")?.as_str());
    if let Some(sid) = sid {
        lines.began(sid.to_owned());
        if let Ok(value) = HeaderValue::from_str(sid) {
            parts.headers.insert(ENGINE_SID, value);
        }
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// What Engine.IO says of a session that it does not know.
fn unknown_session() -> Response {
    (
        StatusCode::BAD_REQUEST,
        [(header::CONTENT_TYPE, "application/json")],
        r#"{"code":1,"message":"Session ID unknown"}"#,
    )
        .into_response()
}
