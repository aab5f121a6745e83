//! The ways in. Each door decodes, identifies, calls a use case and renders; none of them decides anything.

mod armour;
pub mod docs;
pub mod http;
mod json;
mod line;
pub mod ops;
pub mod origins;
pub mod rest;
pub mod serve;
pub mod session;
pub mod socketio;
pub mod tls;
#[doc(hidden)]
pub mod websocket;

use std::time::Duration;

/// Nobody waits longer than this for an answer: longer than a body may take to arrive, or PostgreSQL over a statement.
const PATIENCE: Duration = Duration::from_secs(25);
