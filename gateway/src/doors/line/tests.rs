use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use super::*;

const LET_IN: &[u8] = b"\x81\x0440{}";

/// A connection as the library holds it, our handle on it, and the peer.
async fn connection() -> (Wire, Line, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let line = Line::default();
    (Wire::new(stream, &line), line, peer)
}

fn frame(with: u8, length: u16) -> Vec<u8> {
    let mut frame = vec![0x81, 126];
    frame.extend(length.to_be_bytes());
    frame.resize(frame.len() + usize::from(length), with);
    frame
}

/// Read frames until the end: who wrote each.
async fn read_frames(mut peer: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    let mut rest = &bytes[LET_IN.len()..];
    let mut writers = Vec::new();
    while let [0x81, 126, high, low, text @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        assert!(
            text[..length].iter().all(|byte| *byte == text[0]),
            "frames do not mingle"
        );
        writers.push(text[0]);
        rest = &text[length..];
    }
    assert!(rest.is_empty());
    writers
}

#[tokio::test]
async fn two_write_and_their_frames_do_not_mingle() {
    let (mut wire, line, peer) = connection().await;
    let ours = async {
        for _ in 0..300 {
            line.write(&frame(b'u', 60_000)).await.unwrap();
        }
    };
    let theirs = async move {
        wire.write_all(LET_IN).await.unwrap();
        for number in 0..300 {
            wire.write_all(&frame(b'l', 50_000 + number)).await.unwrap();
            wire.flush().await.unwrap();
        }
        wire
    };
    let reading = async {
        // Let both fill the buffers first.
        tokio::time::sleep(Duration::from_millis(100)).await;
        read_frames(peer).await
    };
    let writing = async {
        let ((), mut wire) = tokio::join!(ours, theirs);
        wire.shutdown().await.unwrap();
    };
    let (writers, ()) = tokio::join!(reading, writing);
    assert_eq!(writers.iter().filter(|writer| **writer == b'u').count(), 300);
    assert_eq!(writers.iter().filter(|writer| **writer == b'l').count(), 300);
}

#[tokio::test]
async fn nothing_is_told_before_the_client_is_let_in() {
    let (mut wire, line, mut peer) = connection().await;
    wire.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        .await
        .unwrap();
    wire.write_all(b"\x81\x030{}").await.unwrap();
    let early = timeout(Duration::from_millis(50), line.write(b"\x81\x01x")).await;
    assert!(early.is_err());
    let (told, ()) = tokio::join!(line.write(b"\x81\x01x"), async {
        // Behind something else, in one piece.
        wire.write_all(&[b"\x81\x012", LET_IN].concat()).await.unwrap();
    });
    assert!(told.unwrap());
    drop(wire);
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.ends_with(b"\x81\x01240{}\x81\x01x") || bytes.ends_with(b"\x81\x012\x81\x0440{}\x81\x01x"));
}

#[tokio::test]
async fn a_cut_line_lets_go_of_everybody() {
    let (mut wire, line, _peer) = connection().await;
    wire.write_all(LET_IN).await.unwrap();
    let big = vec![0; 64 * 1024 * 1024];
    let cutting = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        line.cut();
    };
    let (ours, ()) = tokio::join!(line.write(&big), cutting);
    assert!(ours.is_err());
    assert!(wire.write_all(b"more").await.is_err());
    assert!(wire.read_u8().await.is_err());
}

#[tokio::test]
async fn whoever_gives_up_in_the_middle_of_a_frame_cuts_the_line() {
    let (mut wire, line, _peer) = connection().await;
    wire.write_all(LET_IN).await.unwrap();
    let big = vec![0; 64 * 1024 * 1024];
    let given_up = timeout(Duration::from_millis(50), line.write(&big)).await;
    assert!(given_up.is_err());
    assert!(wire.write_all(b"more").await.is_err());
}

#[tokio::test]
async fn a_handle_keeps_no_connection_open() {
    let (mut wire, line, mut peer) = connection().await;
    wire.write_all(LET_IN).await.unwrap();
    line.write(b"x").await.unwrap();
    drop(wire);
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    assert!(line.write(b"x").await.is_err());
}
