//! WebSocket (RFC 6455) from the server's side, as far as our doors need it, with nothing kept for a connection that is silent.
//!
//! Libraries keep buffers for each connection and hand what they read from task to task. Of a chat's connections nearly all are
//! silent nearly all the time, and there are very many of them.

#[cfg(test)]
mod tests;

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{body::Body, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use sha1::{Digest, Sha1};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::tcp::OwnedReadHalf,
};

/// What both sides append to the key (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What is read at once.
const PORTION: usize = 4 * 1024;
/// What is kept for what comes next, at most.
const KEPT: usize = 256;

/// The answer to a request that asks for a WebSocket; nothing, if it does not do so correctly.
pub fn accept(method: &Method, version: Version, headers: &HeaderMap) -> Option<Response> {
    let names = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).into_iter();
        let mut tokens = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        tokens.any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    let is_asked_for = method == Method::GET
        && version == Version::HTTP_11
        && names(header::CONNECTION, "upgrade")
        && names(header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION)? == "13"
        && BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    if !is_asked_for {
        return None;
    }
    let accepted = BASE64_STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize());
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        HeaderValue::from_str(&accepted).ok()?,
    );
    Some(response)
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Kind {
    fn of(opcode: u8) -> Option<Self> {
        let kinds = [
            Self::Continuation,
            Self::Text,
            Self::Binary,
            Self::Close,
            Self::Ping,
            Self::Pong,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == opcode)
    }

    fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A whole frame of these parts, as a server writes it.
pub fn frame(kind: Kind, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(length + 10);
    frame.push(0x80 | kind as u8);
    if length <= 125 {
        frame.push(length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        frame.push(126);
        frame.extend(length.to_be_bytes());
    } else {
        frame.push(127);
        frame.extend((length as u64).to_be_bytes());
    }
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame
}

/// The frame that ends a connection.
pub fn close(code: Code) -> Vec<u8> {
    frame(Kind::Close, &[&(code as u16).to_be_bytes()])
}

/// Why a connection is closed (RFC 6455, 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Normal = 1000,
    Protocol = 1002,
    NotText = 1007,
    TooLong = 1009,
}

/// What the client says.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// Why nothing more is read.
#[derive(Debug)]
pub enum Ended {
    /// The client is gone without a word.
    Gone,
    /// What it sends cannot be understood.
    Wrong(Code),
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Code> for Ended {
    fn from(code: Code) -> Self {
        Self::Wrong(code)
    }
}

/// Reads what a client says.
#[derive(Debug)]
pub struct Reader {
    stream: OwnedReadHalf,
    frames: Frames,
}

impl Reader {
    /// `begun` was read before, `longest` is how long a message may be.
    pub fn new(stream: OwnedReadHalf, begun: &[u8], longest: usize) -> Self {
        let mut frames = Frames::new(longest);
        frames.put(begun);
        Self { stream, frames }
    }

    /// The next message. May be dropped and asked again.
    pub async fn next(&mut self) -> Result<Message, Ended> {
        loop {
            if let Some(message) = self.frames.message()? {
                return Ok(message);
            }
            if std::future::poll_fn(|cx| self.poll_read(cx)).await? == 0 {
                return Err(Ended::Gone);
            }
        }
    }

    /// Reads into room on the stack, so that waiting takes none.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); PORTION];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        self.frames.put(room.filled());
        Poll::Ready(Ok(room.filled().len()))
    }
}

/// Puts frames together from what comes in, and messages from frames.
#[derive(Debug)]
pub struct Frames {
    read: Vec<u8>,
    /// Up to here it has been understood.
    done: usize,
    /// A message whose end has not come yet.
    begun: Option<(Kind, Vec<u8>)>,
    longest: usize,
}

impl Frames {
    pub fn new(longest: usize) -> Self {
        Self {
            read: Vec::new(),
            done: 0,
            begun: None,
            longest,
        }
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.read.drain(..std::mem::take(&mut self.done));
        self.read.extend_from_slice(bytes);
    }

    /// The next message, if it is here.
    pub fn message(&mut self) -> Result<Option<Message>, Code> {
        while let Some((is_last, kind, payload)) = self.next_frame()? {
            let whole = match (kind, self.begun.take()) {
                (Kind::Close, _) => return Ok(Some(Message::Close)),
                (Kind::Ping, begun) => {
                    self.begun = begun;
                    return Ok(Some(Message::Ping(payload)));
                }
                (Kind::Pong, begun) => {
                    self.begun = begun;
                    return Ok(Some(Message::Pong));
                }
                (Kind::Continuation, Some((kind, mut begun))) => {
                    begun.extend_from_slice(&payload);
                    (kind, begun)
                }
                (Kind::Text | Kind::Binary, None) => (kind, payload),
                (Kind::Continuation, None) | (Kind::Text | Kind::Binary, Some(_)) => {
                    return Err(Code::Protocol);
                }
            };
            if !is_last {
                self.begun = Some(whole);
                continue;
            }
            let (kind, bytes) = whole;
            return match kind {
                Kind::Text => String::from_utf8(bytes)
                    .map(|text| Some(Message::Text(text)))
                    .map_err(|_| Code::NotText),
                _ => Ok(Some(Message::Binary(bytes))),
            };
        }
        Ok(None)
    }

    fn next_frame(&mut self) -> Result<Option<(bool, Kind, Vec<u8>)>, Code> {
        const LAST: u8 = 0x80;
        const RESERVED: u8 = 0x70;
        const MASKED: u8 = 0x80;
        let there = &mut self.read[self.done..];
        let &mut [first, second, ref mut rest @ ..] = there else {
            return Ok(None);
        };
        let is_last = first & LAST != 0;
        let kind = Kind::of(first & !LAST & !RESERVED).ok_or(Code::Protocol)?;
        let short = second & !MASKED;
        let is_right = first & RESERVED == 0
            && second & MASKED != 0
            && !(kind.is_control() && (!is_last || short > 125));
        if !is_right {
            return Err(Code::Protocol);
        }
        let width = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((long, rest)) = rest.split_at_mut_checked(width) else {
            return Ok(None);
        };
        let length = match width {
            0 => u64::from(short),
            _ => long.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let begun = self.begun.as_ref().map_or(0, |(_, begun)| begun.len());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.longest || !kind.is_control() && begun + length > self.longest {
            return Err(Code::TooLong);
        }
        let Some((key, rest)) = rest.split_first_chunk_mut::<4>() else {
            return Ok(None);
        };
        let Some(payload) = rest.get_mut(..length) else {
            return Ok(None);
        };
        unmask(payload, *key);
        let payload = payload.to_vec();
        self.done += 2 + width + 4 + length;
        if self.done == self.read.len() {
            self.done = 0;
            self.read.clear();
            if self.read.capacity() > KEPT {
                self.read = Vec::new();
            }
        }
        Ok(Some((is_last, kind, payload)))
    }
}

fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let mut words = payload.chunks_exact_mut(4);
    for word in &mut words {
        for (byte, key) in word.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key) {
        *byte ^= key;
    }
}
