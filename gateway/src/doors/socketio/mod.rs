//! Socket.IO: the existing client's live connection (contract, chapter 3).
//!
//! Whoever comes by WebSocket, as that client does, is served by ourselves (`direct`): the library keeps 29 KiB for a connection that
//! says nothing. Whoever polls, or began by polling, or comes over TLS of our own, is served by the library (`lines`, `handshake`).
//! From CONNECT on both are the same (`socket`).

mod answer;
mod desk;
mod direct;
pub mod document;
mod handshake;
mod hold;
mod incoming;
mod lines;
mod mailbox;
#[doc(hidden)]
pub mod names;
mod outlet;
mod own;
mod pace;
#[doc(hidden)]
pub mod packet;
mod pen;
mod recent;
mod socket;
mod writer;

use std::{sync::Arc, time::Duration};

use axum::Router;
use socketioxide::{ParserConfig, SocketIo, handler::ConnectHandler};

#[doc(hidden)]
pub use self::incoming::split;
use self::{lines::Lines, pace::Pace};
use super::{origins::Origins, session::Live};

/// A client that answers no ping for so long is gone (contract 3.4).
const PING_INTERVAL: Duration = Duration::from_secs(25);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What a client may send at once (contract Q33). The longest message there may be needs a sixth of it.
const MAX_PAYLOAD: usize = 256 * 1024;
/// Nothing that we understand has attachments. A few are taken, so that whoever sends one gets an answer.
const MAX_ATTACHMENTS: usize = 4;
/// What a socket needs to read at a time: most of what people say fits. The library's default is a hundred times as much, for each
/// connection.
const READ_BUFFER: usize = 1024;

/// What all sockets share.
#[derive(Debug)]
pub struct Door {
    live: Live,
    lines: Lines,
    pace: Pace,
}

pub fn router(live: Live, origins: Origins) -> Router {
    let door = Arc::new(Door {
        live,
        lines: Lines::default(),
        pace: Pace::default(),
    });
    let parser = ParserConfig::common()
        .max_incoming_binaries(MAX_ATTACHMENTS)
        .max_incoming_binary_buf_size(MAX_PAYLOAD);
    let (service, io) = SocketIo::builder()
        .req_path("/socket.io")
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING_TIMEOUT)
        .max_payload(MAX_PAYLOAD as u64)
        .ws_max_message_size(MAX_PAYLOAD)
        .ws_max_frame_size(MAX_PAYLOAD)
        .ws_read_buffer_size(READ_BUFFER)
        .with_parser(parser)
        .with_state(door.clone())
        .build_svc();
    io.ns("/", socket::connected.with(handshake::check));
    Router::new()
        .route_service("/socket.io", service.clone())
        .route_service("/socket.io/", service)
        .layer(axum::middleware::from_fn_with_state(
            door.lines.clone(),
            lines::follow,
        ))
        .layer(axum::middleware::from_fn_with_state(door, direct::take))
        .layer(axum::middleware::from_fn_with_state(
            origins,
            handshake::of_our_pages,
        ))
}
