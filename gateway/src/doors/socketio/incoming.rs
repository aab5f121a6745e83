//! An event as a client sent it.

use std::{convert::Infallible, sync::Arc};

use serde_json::value::RawValue;
use socketioxide::{
    adapter::LocalAdapter,
    handler::{FromMessage, Value},
    socket::Socket,
};

/// An event of a client, as it came.
pub struct Incoming {
    pub name: String,
    /// JSON; `null` if there is none or if it is not for us.
    pub payload: String,
    pub ack: Option<Ack>,
}

/// Where the acknowledgement of an event goes.
pub enum Ack {
    /// The number under which the client waits for it.
    Direct(i64),
    Library(Arc<Socket<LocalAdapter>>, i64),
}

impl FromMessage<LocalAdapter> for Incoming {
    type Error = Infallible;

    fn from_message(
        socket: Arc<Socket<LocalAdapter>>,
        value: Value,
        ack_id: Option<i64>,
    ) -> Result<Self, Infallible> {
        let ack = ack_id.map(|id| Ack::Library(socket, id));
        Ok(match &value {
            Value::Str(said, attachments) => {
                let attachments = attachments.as_ref().map_or(0, |list| list.len());
                Self::new(said, attachments, ack)
            }
            Value::Bytes(_) => Self::new("", 0, ack),
        })
    }
}

impl Incoming {
    pub fn new(said: &str, attachments: usize, ack: Option<Ack>) -> Self {
        let (name, payload) = split(said);
        Self {
            name,
            // Nothing that we understand comes with attachments.
            payload: if attachments == 0 {
                payload
            } else {
                "null".to_owned()
            },
            ack,
        }
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
}
