use rand::{Rng, SeedableRng};

use super::*;

const LONGEST: usize = 70_000;

/// A frame as a client writes it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x12, 0xff, 0x00, 0x77];
    let plain = frame(Kind::Text, &[payload]);
    let head = plain.len() - payload.len();
    let mut frame = plain[..head].to_vec();
    frame[0] = first;
    frame[1] |= 0x80;
    frame.extend(KEY);
    frame.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

/// What comes of these bytes, put in so many at a time.
fn understood(bytes: &[u8], portion: usize) -> Result<Vec<Message>, Code> {
    let mut frames = Frames::new(LONGEST);
    let mut messages = Vec::new();
    for portion in bytes.chunks(portion) {
        frames.put(portion);
        while let Some(message) = frames.message()? {
            messages.push(message);
        }
    }
    assert!(
        frames.read.capacity() <= KEPT || !frames.read.is_empty(),
        "what is read takes no room"
    );
    Ok(messages)
}

fn text(length: usize) -> Message {
    Message::Text("x".repeat(length))
}

#[test]
fn messages_come_out_however_they_come_in() {
    let lengths = [0, 1, 3, 125, 126, 127, 65_535, 65_536];
    let bytes: Vec<u8> = lengths
        .iter()
        .flat_map(|length| masked(0x81, "x".repeat(*length).as_bytes()))
        .collect();
    for portion in [1, 2, 7, 1_000, bytes.len()] {
        let expected: Vec<_> = lengths.into_iter().map(text).collect();
        assert_eq!(understood(&bytes, portion), Ok(expected), "{portion} at a time");
    }
}

#[test]
fn what_comes_in_pieces_is_one_message_and_pings_may_come_between() {
    let bytes = [
        masked(0x01, b"he"),
        masked(0x89, b"there?"),
        masked(0x00, b"ll"),
        masked(0x8a, b""),
        masked(0x80, b"o"),
        masked(0x82, &[0xff]),
        masked(0x88, &[3, 232]),
    ];
    let expected = vec![
        Message::Ping(b"there?".to_vec()),
        Message::Pong,
        Message::Text("hello".to_owned()),
        Message::Binary(vec![0xff]),
        Message::Close,
    ];
    assert_eq!(understood(&bytes.concat(), 3), Ok(expected));
}

#[test]
fn what_is_no_frame_of_a_client_is_refused() {
    let mut unmasked = masked(0x81, b"x");
    unmasked[1] &= 0x7f;
    let half = [masked(0x01, &vec![b'x'; LONGEST]), masked(0x80, b"x")].concat();
    let cases = [
        ("not masked", unmasked, Code::Protocol),
        ("a reserved bit", masked(0xc1, b"x"), Code::Protocol),
        ("an unknown kind", masked(0x83, b"x"), Code::Protocol),
        ("a ping in pieces", masked(0x09, b"x"), Code::Protocol),
        ("a long ping", masked(0x89, &[0; 126]), Code::Protocol),
        ("an end without a beginning", masked(0x80, b"x"), Code::Protocol),
        (
            "two beginnings",
            [masked(0x01, b"x"), masked(0x81, b"x")].concat(),
            Code::Protocol,
        ),
        ("no text", masked(0x81, &[0xff]), Code::NotText),
        ("too long", masked(0x81, &vec![b'x'; LONGEST + 1]), Code::TooLong),
        ("too long together", half, Code::TooLong),
        (
            "as long as can be said",
            vec![0x81, 0xff, 255, 255, 255, 255, 255, 255, 255, 255],
            Code::TooLong,
        ),
    ];
    for (what, bytes, code) in cases {
        assert_eq!(understood(&bytes, bytes.len()), Err(code), "{what}");
    }
}

#[test]
fn anything_at_all_harms_nobody() {
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    for _ in 0..20_000 {
        let mut bytes = masked(random.random(), &vec![b'x'; random.random_range(0..300)]);
        bytes.extend(masked(0x81, b"behind it"));
        for _ in 0..random.random_range(0..4) {
            let place = random.random_range(0..bytes.len().min(16));
            bytes[place] = random.random();
        }
        bytes.truncate(random.random_range(1..=bytes.len()));
        let at_once = understood(&bytes, bytes.len());
        assert_eq!(at_once.is_ok(), understood(&bytes, 1).is_ok());
        if let Ok(messages) = at_once {
            assert_eq!(understood(&bytes, 3), Ok(messages));
        }
    }
}

#[test]
fn only_who_asks_for_a_websocket_gets_one() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        // The example of the specification.
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let asked = |headers: &HeaderMap| accept(&Method::GET, Version::HTTP_11, headers);
    let response = asked(&headers).unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(
        response.headers()[header::SEC_WEBSOCKET_ACCEPT],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    assert!(accept(&Method::POST, Version::HTTP_11, &headers).is_none());
    assert!(accept(&Method::GET, Version::HTTP_10, &headers).is_none());
    for (name, value) in [
        ("connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("sec-websocket-version", "8"),
        ("sec-websocket-key", "short"),
    ] {
        let mut wrong = headers.clone();
        wrong.insert(name, HeaderValue::from_static(value));
        assert!(asked(&wrong).is_none(), "{name}: {value}");
        wrong.remove(name);
        assert!(asked(&wrong).is_none(), "without {name}");
    }
}
