//! What travels between replicas: a small header, and the event's JSON as whoever wrote it wrote it.
//!
//! A replica forwards kinds of events that it has never heard of, so old and new ones live side by side while a deploy rolls.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use chrono::{DateTime, Utc};
use shared::{
    ChatId, SessionId, UserId,
    topic::{Seq, Topic},
};
use uuid::Uuid;

use crate::telemetry::traces::{self, Cause};

/// An event on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub topic: Topic,
    /// Its place in the topic, or `PASSING`.
    pub seq: Seq,
    /// The name of its kind.
    pub kind: Box<str>,
    /// Sockets of this login session hear of it only when the answer to its request has been written.
    pub held_for: Option<SessionId>,
    /// When it was told, which is right behind its commit. For watching how late it arrives, not for ordering: clocks differ.
    pub at: DateTime<Utc>,
    /// What it goes back to. Events that come from the log do not know.
    pub cause: Option<Arc<Cause>>,
    /// JSON.
    pub body: Bytes,
}

/// The place of events that nobody remembers: who does not hear them now never does.
pub const PASSING: Seq = 0;

const VERSION: u8 = 2;
const CHAT: u8 = b'c';
const USER: u8 = b'u';

/// The envelope as bytes, marked with the replica that sends it.
pub fn pack(origin: Uuid, envelope: &Envelope) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(160 + envelope.kind.len() + envelope.body.len());
    bytes.put_u8(VERSION);
    bytes.put_slice(origin.as_bytes());
    bytes.put_u8(match envelope.topic {
        Topic::Chat(_) => CHAT,
        Topic::User(_) => USER,
    });
    bytes.put_slice(envelope.topic.id().as_bytes());
    bytes.put_i64(envelope.seq);
    bytes.put_slice(
        envelope
            .held_for
            .map_or(Uuid::nil(), |session| session.0)
            .as_bytes(),
    );
    bytes.put_i64(envelope.at.timestamp_micros());
    put_short(&mut bytes, envelope.kind.as_bytes());
    let cause = envelope.cause.as_deref();
    put_short(&mut bytes, cause.map_or(b"", |cause| cause.request_id.as_bytes()));
    let place = cause.and_then(|cause| cause.trace.as_ref()).map(traces::place);
    put_short(&mut bytes, place.as_ref().map_or(b"", |place| place));
    bytes.put_slice(&envelope.body);
    bytes
}

/// Who sent it, and what it is; nothing if this is not ours, or of a version to come.
pub fn unpack(mut bytes: Bytes) -> Option<(Uuid, Envelope)> {
    if bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    let origin = uuid(&mut bytes)?;
    let topic_kind = bytes.try_get_u8().ok()?;
    let topic_id = uuid(&mut bytes)?;
    let topic = match topic_kind {
        CHAT => Topic::Chat(ChatId(topic_id)),
        USER => Topic::User(UserId(topic_id)),
        _ => return None,
    };
    let seq = bytes.try_get_i64().ok()?;
    let held_for = uuid(&mut bytes)?;
    let at = DateTime::from_timestamp_micros(bytes.try_get_i64().ok()?)?;
    let kind = std::str::from_utf8(&short(&mut bytes)?).ok()?.into();
    let request_id = short(&mut bytes)?;
    let place = short(&mut bytes)?;
    let cause = Cause {
        request_id: std::str::from_utf8(&request_id).ok()?.into(),
        trace: <&[u8; traces::PLACE]>::try_from(&*place)
            .ok()
            .map(traces::from_place),
    };
    let envelope = Envelope {
        topic,
        seq,
        kind,
        held_for: (!held_for.is_nil()).then_some(SessionId(held_for)),
        at,
        cause: (!request_id.is_empty()).then(|| Arc::new(cause)),
        body: bytes,
    };
    Some((origin, envelope))
}

/// Something short, with its length before it.
fn put_short(bytes: &mut Vec<u8>, short: &[u8]) {
    let short = &short[..short.len().min(usize::from(u8::MAX))];
    bytes.put_u8(short.len() as u8);
    bytes.put_slice(short);
}

fn short(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(bytes.try_get_u8().ok()?);
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

fn uuid(bytes: &mut Bytes) -> Option<Uuid> {
    bytes.try_get_u128().ok().map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let origin = Uuid::from_u128(7);
        let cause = |trace| Cause {
            request_id: "a request".into(),
            trace,
        };
        let trace = traces::from_place(&[7; traces::PLACE]);
        for (topic, held_for, cause) in [
            (Topic::Chat(ChatId(Uuid::from_u128(1))), None, None),
            (Topic::Chat(ChatId(Uuid::from_u128(1))), None, Some(cause(None))),
            (
                Topic::User(UserId(Uuid::from_u128(2))),
                Some(SessionId(Uuid::from_u128(3))),
                Some(cause(Some(trace))),
            ),
        ] {
            let envelope = Envelope {
                topic,
                seq: 42,
                kind: "message_sent".into(),
                held_for,
                at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
                cause: cause.map(Arc::new),
                body: Bytes::from_static(b"{\"a\":1}"),
            };
            let bytes = Bytes::from(pack(origin, &envelope));
            assert_eq!(unpack(bytes.clone()), Some((origin, envelope)));
            for end in 0..bytes.len() - 7 {
                assert!(unpack(bytes.slice(..end)).is_none(), "cut at {end}");
            }
        }
        assert_eq!(unpack(Bytes::from_static(b"\x03something newer")), None);
    }
}
