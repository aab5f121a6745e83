use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// A connection as the library holds it, our handle on it, and the peer.
async fn connection() -> (Wire, Line, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let line = Line::default();
    (Wire::new(stream, &line), line, peer)
}

#[tokio::test]
async fn a_cut_line_lets_go_of_everybody() {
    for reads in [true, false] {
        let (mut wire, line, _peer) = connection().await;
        let big = vec![0; 64 * 1024 * 1024];
        let cutting = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            line.cut();
        };
        let waiting = async {
            if reads {
                wire.read_u8().await.map(drop)
            } else {
                wire.write_all(&big).await
            }
        };
        let (waited, ()) = tokio::join!(waiting, cutting);
        assert!(waited.is_err());
        assert!(wire.write_all(b"more").await.is_err());
        assert!(wire.read_u8().await.is_err());
    }
}

#[tokio::test]
async fn a_handle_keeps_no_connection_open() {
    let (mut wire, line, mut peer) = connection().await;
    wire.write_all(b"x").await.unwrap();
    assert!(!line.is_gone());
    drop(wire);
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    assert!(line.is_gone());
}
