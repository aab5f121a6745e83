//! What goes over a WebSocket in both directions: text frames, each one packet of Engine.IO that mostly is one of Socket.IO.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::doors::websocket::{Kind, frame};

/// What is longer is no name of a place: the answer would say it again.
const LONGEST: usize = 128;

/// `2`, to which a client answers `3`.
pub fn ping() -> Vec<u8> {
    text(&[b"2"])
}

/// `0{…}`: what the client has to know of the connection.
pub fn open(said: &impl Serialize) -> Vec<u8> {
    text(&[b"0", &serde_json::to_vec(said).unwrap_or_default()])
}

/// `40{"sid":…}`: the client is let in.
pub fn let_in(sid: &str) -> Vec<u8> {
    let said = serde_json::json!({ "sid": sid }).to_string();
    text(&[b"40", said.as_bytes()])
}

/// `44{"message":…}`: it is not.
pub fn refused(namespace: &str, why: &str) -> Vec<u8> {
    let comma = if namespace.is_empty() { "" } else { "," };
    let said = serde_json::json!({ "message": why }).to_string();
    text(&[b"44", namespace.as_bytes(), comma.as_bytes(), said.as_bytes()])
}

/// `41`: the client is sent away, and does not come back by itself.
pub fn sent_away() -> Vec<u8> {
    text(&[b"41"])
}

/// `42["name",payload]`
pub fn event(name: &str, payload: &RawValue) -> Vec<u8> {
    let name = serde_json::Value::from(name).to_string();
    text(&[b"42[", name.as_bytes(), b",", payload.get().as_bytes(), b"]"])
}

/// `43id[payload]`
pub fn ack(id: i64, payload: &RawValue) -> Vec<u8> {
    text(&[
        b"43",
        id.to_string().as_bytes(),
        b"[",
        payload.get().as_bytes(),
        b"]",
    ])
}

fn text(parts: &[&[u8]]) -> Vec<u8> {
    frame(Kind::Text, parts)
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The client is about to go.
    Close,
    /// The client is there.
    Alive,
    Connect(&'a str),
    /// To a namespace that is not ours.
    ConnectElsewhere(&'a str),
    Disconnect,
    Event {
        ack: Option<i64>,
        said: &'a str,
        /// So many binary messages follow that belong to it.
        attachments: usize,
    },
    /// The answer to something that we never asked, with as many.
    Answer {
        attachments: usize,
    },
}

impl<'a> Packet<'a> {
    /// Nothing, if that is no packet of a client.
    pub fn read(text: &'a str) -> Option<Self> {
        match text.as_bytes() {
            [b'1'] => return Some(Self::Close),
            [b'2' | b'3', ..] => return Some(Self::Alive),
            [b'4', ..] => {}
            _ => return None,
        }
        let (kind, rest) = text[1..].split_at_checked(1)?;
        let (attachments, rest) = match kind {
            "5" | "6" => {
                let (count, rest) = rest.split_once('-')?;
                (number(count)?, rest)
            }
            _ => (0, rest),
        };
        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => ("/", rest),
        };
        if namespace.len() > LONGEST {
            return None;
        }
        let (id, said) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let is_ours = namespace == "/";
        match kind {
            "0" if is_ours => Some(Self::Connect(rest)),
            "0" => Some(Self::ConnectElsewhere(namespace)),
            "1" if is_ours => Some(Self::Disconnect),
            "2" | "5" if is_ours => Some(Self::Event {
                ack: if id.is_empty() { None } else { Some(number(id)?) },
                said,
                attachments,
            }),
            "3" | "6" if is_ours => Some(Self::Answer { attachments }),
            _ => None,
        }
    }
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    // The standard library takes a plus, too.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_say_how_long_they_are() {
        let payload = |length: usize| RawValue::from_string(format!("\"{}\"", "x".repeat(length))).unwrap();
        assert_eq!(
            event("a", &payload(0)),
            [&[0x81, 10][..], br#"42["a",""]"#].concat()
        );
        assert_eq!(ack(12, &payload(1)), [&[0x81, 9][..], br#"4312["x"]"#].concat());
        // 42["a",""] is ten bytes long without the text.
        for (length, head) in [
            (115, &[0x81, 125][..]),
            (116, &[0x81, 126, 0, 126]),
            (65_525, &[0x81, 126, 0xff, 0xff]),
            (65_526, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = event("a", &payload(length));
            assert!(frame.starts_with(head), "{length}: {:?}", &frame[..10]);
            assert_eq!(frame.len(), head.len() + length + 10);
        }
    }

    #[test]
    fn what_clients_say_is_understood() {
        let event = |ack, said, attachments| {
            Some(Packet::Event {
                ack,
                said,
                attachments,
            })
        };
        for (text, packet) in [
            ("1", Some(Packet::Close)),
            ("2", Some(Packet::Alive)),
            ("3probe", Some(Packet::Alive)),
            ("40", Some(Packet::Connect(""))),
            ("40/,{}", Some(Packet::Connect("{}"))),
            (r#"40{"token":"x"}"#, Some(Packet::Connect(r#"{"token":"x"}"#))),
            ("40/admin,{}", Some(Packet::ConnectElsewhere("/admin"))),
            ("40/admin", Some(Packet::ConnectElsewhere("/admin"))),
            ("41", Some(Packet::Disconnect)),
            (r#"42["a"]"#, event(None, r#"["a"]"#, 0)),
            (r#"4217["a"]"#, event(Some(17), r#"["a"]"#, 0)),
            (r#"42/,17["a"]"#, event(Some(17), r#"["a"]"#, 0)),
            (r#"451-17["a"]"#, event(Some(17), r#"["a"]"#, 1)),
            ("4399[1]", Some(Packet::Answer { attachments: 0 })),
            ("462-9[1]", Some(Packet::Answer { attachments: 2 })),
            // Nobody is connected there.
            (r#"42/other,["a"]"#, None),
            ("41/other", None),
            // Numbers that are none.
            (r#"4299999999999999999999["a"]"#, None),
            (r#"45["a"]"#, None),
            (r#"45+1-["a"]"#, None),
            (r#"45x-["a"]"#, None),
            // What only servers say, what does not exist, and half of something.
            ("44{}", None),
            ("0{}", None),
            ("47", None),
            ("4", None),
            ("4é", None),
            ("5", None),
            ("6", None),
            ("9", None),
            ("", None),
        ] {
            assert_eq!(Packet::read(text), packet, "{text}");
        }
    }
}
