//! What a socket sends, in the order in which it was sent.
//!
//! The library runs each event's handler as a task of its own, so two events could overtake each other. Our handler only puts the
//! event into the socket's queue, which happens in the order of arrival; one consumer works it off.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::value::RawValue;
use socketioxide::{
    SendError, SocketError,
    adapter::LocalAdapter,
    extract::AckSender,
    handler::{FromMessage, FromMessageParts, Value},
    socket::Socket,
};
use tokio::sync::mpsc;

/// Events that may wait at most.
const ROOM: usize = 4_096;
/// Bytes that may wait at most. A single event always may, so this is no limit of its own.
const BYTES: usize = 1024 * 1024;

/// An event of a client, as it came.
pub struct Incoming {
    pub name: String,
    /// JSON; `null` if there is none or if it is not for us.
    pub payload: String,
    pub ack: Option<Ack>,
}

/// Where the acknowledgement of an event goes.
pub struct Ack {
    socket: Arc<Socket<LocalAdapter>>,
    id: Option<i64>,
}

/// What became of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Gone,
    /// The connection takes nothing more at this moment.
    NoRoom,
}

impl Ack {
    /// The number under which the client waits for it.
    pub fn id(&self) -> Option<i64> {
        self.id
    }

    /// The library's own sender can be used once; this one may try again.
    pub fn send(&self, said: &RawValue) -> Sent {
        let mut nothing = Value::Str("[]".into(), None);
        let Ok(ack) = AckSender::from_message_parts(&self.socket, &mut nothing, &self.id);
        match ack.send(said) {
            Err(SendError::Socket(SocketError::InternalChannelFull)) => Sent::NoRoom,
            _ => Sent::Gone,
        }
    }
}

impl FromMessage<LocalAdapter> for Incoming {
    type Error = Infallible;

    fn from_message(
        socket: Arc<Socket<LocalAdapter>>,
        value: Value,
        ack_id: Option<i64>,
    ) -> Result<Self, Infallible> {
        let ack = ack_id.is_some().then_some(Ack { socket, id: ack_id });
        let (name, payload) = match &value {
            // Nothing that we understand comes with attachments.
            Value::Str(text, attachments) if attachments.as_ref().is_none_or(|list| list.is_empty()) => {
                split(text)
            }
            Value::Str(text, _) => (split(text).0, "null".to_owned()),
            Value::Bytes(_) => (String::new(), "null".to_owned()),
        };
        Ok(Self { name, payload, ack })
    }
}

/// `["name", payload, …]`, apart.
pub fn split(text: &str) -> (String, String) {
    let parts: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
    let name = parts
        .first()
        .and_then(|name| serde_json::from_str(name.get()).ok());
    let payload = parts.get(1).map_or("null", |payload| payload.get());
    (name.unwrap_or_default(), payload.to_owned())
}

/// The end of the queue where events go in. It holds boxes: a queue takes room for dozens of its items as soon as it is made.
#[derive(Clone)]
pub struct Inbox {
    queue: mpsc::Sender<Box<Incoming>>,
    bytes: Arc<AtomicUsize>,
}

/// The end where they come out.
pub struct Backlog {
    queue: mpsc::Receiver<Box<Incoming>>,
    bytes: Arc<AtomicUsize>,
}

pub fn queue() -> (Inbox, Backlog) {
    let (sender, receiver) = mpsc::channel(ROOM);
    let bytes = Arc::<AtomicUsize>::default();
    let inbox = Inbox {
        queue: sender,
        bytes: bytes.clone(),
    };
    let backlog = Backlog {
        queue: receiver,
        bytes,
    };
    (inbox, backlog)
}

impl Inbox {
    /// Take an event, or give it back if too much waits already.
    pub fn put(&self, incoming: Incoming) -> Result<(), Incoming> {
        let size = incoming.payload.len();
        let waiting = self.bytes.fetch_add(size, Ordering::Relaxed);
        let refused = if waiting > 0 && waiting + size > BYTES {
            Some(incoming)
        } else {
            self.queue
                .try_send(Box::new(incoming))
                .err()
                .map(|full| *full.into_inner())
        };
        match refused {
            Some(incoming) => {
                self.bytes.fetch_sub(size, Ordering::Relaxed);
                Err(incoming)
            }
            None => Ok(()),
        }
    }
}

impl Backlog {
    pub async fn next(&mut self) -> Option<Incoming> {
        let incoming = self.queue.recv().await?;
        self.bytes.fetch_sub(incoming.payload.len(), Ordering::Relaxed);
        Some(*incoming)
    }

    /// Take nothing more; what waits comes out.
    pub fn close(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_apart() {
        let parts = |text: &str| split(text);
        assert_eq!(
            parts(r#"["a",{"b":1}]"#),
            ("a".to_owned(), r#"{"b":1}"#.to_owned())
        );
        assert_eq!(parts(r#"["a"]"#), ("a".to_owned(), "null".to_owned()));
        assert_eq!(parts(r#"["\u0061",1,2]"#), ("a".to_owned(), "1".to_owned()));
        assert_eq!(parts("rubbish"), (String::new(), "null".to_owned()));
    }

    #[tokio::test]
    async fn too_much_is_refused_and_room_comes_back() {
        let event = |size: usize| Incoming {
            name: "x".to_owned(),
            payload: " ".repeat(size),
            ack: None,
        };
        let (inbox, mut backlog) = queue();
        assert!(inbox.put(event(BYTES + 1)).is_ok(), "one always fits");
        assert!(inbox.put(event(1)).is_err());
        backlog.next().await.unwrap();
        assert!(inbox.put(event(BYTES)).is_ok());
        assert!(inbox.put(event(1)).is_err());
    }
}
