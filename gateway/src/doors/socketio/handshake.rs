//! Who may have a socket (contract 3.3, 3.4).

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State as Given},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri, header};
use serde::Deserialize;
use shared::problem::Reason;
use socketioxide::extract::{SocketRef, State, TryData};
use tracing::{debug, warn};
use utoipa::ToSchema;

use super::{
    Door,
    socket::{self, Prepared},
};
use crate::{
    doors::{line::Line, origins::Origins, session::Positions},
    error::Error,
    features::sessions::open,
};

/// What a client says of itself.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct Hello {
    /// The `accessToken` of registering, logging in or refreshing.
    #[schema(value_type = String)]
    token: serde_json::Value,
    /// The last place that it saw of each chat, if it wants exactly what it has missed since.
    #[schema(value_type = Option<std::collections::HashMap<String, i64>>)]
    positions: serde_json::Value,
}

impl Hello {
    /// What makes sense of the positions; nothing if there are none. Nobody is refused because of the rest.
    fn positions(&self) -> Option<Positions> {
        let named = self.positions.as_object()?.iter();
        // What is no place in a chat that is one is a place that nobody knows.
        let places = named.filter_map(|(chat, seq)| Some((chat.parse().ok()?, seq.as_i64().unwrap_or(-1))));
        Some(places.take(AT_MOST).collect())
    }
}

/// Chats that a client may name. Whoever is in more reads the others anew.
const AT_MOST: usize = 2_000;

/// Refused for good: the library does not try again after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoToken,
    NoSession,
    Other,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoToken => "Authentication token required",
            Self::NoSession => "Invalid or expired session",
            Self::Other => "Authentication failed",
        })
    }
}

/// Refuse pages of other sites before anything is begun for them, as Engine.IO does.
pub async fn of_our_pages(Given(origins): Given<Origins>, request: Request, next: Next) -> Response {
    if origins.may_connect(request.headers()) {
        return next.run(request).await;
    }
    debug!(origin = ?request.headers().get(header::ORIGIN), "A page may not connect: CORS_ORIGINS does not name its origin");
    (
        StatusCode::FORBIDDEN,
        [(header::CONTENT_TYPE, "application/json")],
        r#"{"code":4,"message":"Forbidden"}"#,
    )
        .into_response()
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// For good.
    Away(Refusal),
    /// What keeps us from looking passes, and a client that is refused would not come back: so the connection just breaks.
    Off,
}

/// Look at who is there before CONNECT is answered. From here on nothing that the client sends is lost.
pub async fn admit(door: &Arc<Door>, hello: Hello) -> Result<Prepared, Turned> {
    let token = hello.token.as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Turned::Away(Refusal::NoToken));
    }
    if door.live.tasks.is_draining() {
        return Err(Turned::Off);
    }
    match open::identify(&door.live.backend, token).await {
        Ok(caller) => Ok(Prepared::new(door, caller, hello.positions())),
        Err(Error::Unauthenticated(Reason::SessionEnded)) => Err(Turned::Away(Refusal::NoSession)),
        Err(Error::Unauthenticated(reason)) => {
            debug!(?reason, "A socket was refused");
            Err(Turned::Away(Refusal::Other))
        }
        Err(error) => {
            warn!(?error, "A socket could not be checked");
            Err(Turned::Off)
        }
    }
}

/// The same for whom the library holds.
pub async fn check(
    socket: SocketRef,
    State(door): State<Arc<Door>>,
    TryData(hello): TryData<Option<Hello>>,
) -> Result<(), Refusal> {
    let sid = socket.id.to_string();
    match admit(&door, hello.ok().flatten().unwrap_or_default()).await {
        Ok(prepared) => {
            door.lines.claim(&sid, line_of(&socket));
            socket::prepare(&socket, &door, prepared);
            Ok(())
        }
        Err(Turned::Away(refusal)) => Err(refusal),
        Err(Turned::Off) => {
            door.lines.cut(&sid);
            if let Some(line) = line_of(&socket) {
                line.cut();
            }
            // The refusal below must find nobody.
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(Refusal::Other)
        }
    }
}

/// The connection of the first request, if the socket stays on it.
fn line_of(socket: &SocketRef) -> Option<Line> {
    let parts = socket.req_parts();
    let is_websocket = value_of(&parts.uri, "transport").as_deref() == Some("websocket");
    is_websocket
        .then(|| parts.extensions.get::<Line>().cloned())
        .flatten()
}

/// What the address says of something.
pub fn value_of(address: &Uri, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(address.query().unwrap_or_default().as_bytes());
    let (_, value) = pairs.find(|(key, _)| key == name)?;
    Some(value.into_owned())
}
