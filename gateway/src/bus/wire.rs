//! What travels between replicas: a small header, and the event's JSON as whoever wrote it wrote it.
//!
//! A replica forwards kinds of events that it has never heard of, so old and new ones live side by side while a deploy rolls.

use bytes::{Buf, BufMut, Bytes};
use chrono::{DateTime, Utc};
use shared::{
    ChatId, SessionId, UserId,
    topic::{Seq, Topic},
};
use uuid::Uuid;

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
    let mut bytes = Vec::with_capacity(72 + envelope.kind.len() + envelope.body.len());
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
    let kind = &envelope.kind.as_bytes()[..envelope.kind.len().min(usize::from(u8::MAX))];
    bytes.put_u8(kind.len() as u8);
    bytes.put_slice(kind);
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
    let length = usize::from(bytes.try_get_u8().ok()?);
    if bytes.len() < length {
        return None;
    }
    let kind = std::str::from_utf8(&bytes.split_to(length)).ok()?.into();
    let envelope = Envelope {
        topic,
        seq,
        kind,
        held_for: (!held_for.is_nil()).then_some(SessionId(held_for)),
        at,
        body: bytes,
    };
    Some((origin, envelope))
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
        for (topic, held_for) in [
            (Topic::Chat(ChatId(Uuid::from_u128(1))), None),
            (
                Topic::User(UserId(Uuid::from_u128(2))),
                Some(SessionId(Uuid::from_u128(3))),
            ),
        ] {
            let envelope = Envelope {
                topic,
                seq: 42,
                kind: "message_sent".into(),
                held_for,
                at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
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
