//! Events and acknowledgements as they go over a WebSocket: one text frame of Engine.IO and Socket.IO each.

use serde_json::value::RawValue;

/// `42["name",payload]`
pub fn event(name: &str, payload: &RawValue) -> Vec<u8> {
    let name = serde_json::Value::from(name).to_string();
    frame(&[b"42[", name.as_bytes(), b",", payload.get().as_bytes(), b"]"])
}

/// `43id[payload]`
pub fn ack(id: i64, payload: &RawValue) -> Vec<u8> {
    frame(&[
        b"43",
        id.to_string().as_bytes(),
        b"[",
        payload.get().as_bytes(),
        b"]",
    ])
}

/// A whole, unmasked text frame of these parts.
fn frame(parts: &[&[u8]]) -> Vec<u8> {
    const TEXT: u8 = 0x81;
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(length + 10);
    frame.push(TEXT);
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
}
