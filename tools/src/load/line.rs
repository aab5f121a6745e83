//! A live connection in as little work as possible: what is measured is the server, and it has to share its processors with us.
//!
//! Frames are told apart in the bytes as they come; nothing is parsed that nobody asks for.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long a server may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(60);
/// So much is read at once.
const CHUNK: usize = 16 * 1024;

/// What the server sends: whole frames, one behind the other.
#[derive(Debug, Default)]
pub struct Inflow {
    bytes: Vec<u8>,
    /// Up to here it has been told.
    told: usize,
}

impl Inflow {
    /// The next text that has arrived as a whole.
    pub fn next(&mut self) -> Option<&[u8]> {
        let frame = &self.bytes[self.told..];
        let (head, length) = match frame.get(1)? & 0x7f {
            126 => (
                4,
                usize::from(u16::from_be_bytes(frame.get(2..4)?.try_into().ok()?)),
            ),
            127 => (
                10,
                usize::try_from(u64::from_be_bytes(frame.get(2..10)?.try_into().ok()?)).ok()?,
            ),
            short => (2, usize::from(short)),
        };
        if frame.len() < head + length {
            return None;
        }
        let start = self.told + head;
        self.told = start + length;
        Some(&self.bytes[start..start + length])
    }

    /// Forget what has been told.
    fn make_room(&mut self) {
        self.bytes.drain(..self.told);
        self.told = 0;
    }

    /// Read what has arrived. Says no at the end of the connection.
    pub async fn read(&mut self, stream: &TcpStream) -> io::Result<bool> {
        self.make_room();
        loop {
            stream.readable().await?;
            self.bytes.reserve(CHUNK);
            match stream.try_read_buf(&mut self.bytes) {
                Ok(read) => return Ok(read > 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A text as a client's frame. The mask is all zeros, which is a mask like any other and costs nothing.
pub fn frame(text: &[u8]) -> Vec<u8> {
    const FINAL_TEXT: u8 = 0x81;
    const MASKED: u8 = 0x80;
    let mut bytes = Vec::with_capacity(text.len() + 14);
    bytes.push(FINAL_TEXT);
    match text.len() {
        short @ ..=125 => bytes.push(MASKED | short as u8),
        long => {
            bytes.push(MASKED | 126);
            bytes.extend(u16::try_from(long).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(text);
    bytes
}

/// Write a frame. What the kernel does not take at once is waited for.
pub async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A connection on which `token`'s owner is told everything.
pub async fn open(address: SocketAddr, token: &str) -> Result<(TcpStream, Inflow)> {
    timeout(PATIENCE, connect(address, token))
        .await
        .context("the server lets nobody in")?
}

async fn connect(address: SocketAddr, token: &str) -> Result<(TcpStream, Inflow)> {
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("nobody listens on {address}"))?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    let end = loop {
        if stream.read_buf(&mut head).await? == 0 {
            bail!("the server closed the connection");
        }
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    if !head.starts_with(b"HTTP/1.1 101") {
        bail!("no WebSocket: {}", String::from_utf8_lossy(&head));
    }
    let mut inflow = Inflow {
        bytes: head.split_off(end),
        told: 0,
    };
    expect(&stream, &mut inflow, b"0").await?;
    let token = serde_json::to_string(token)?;
    write(&stream, &frame(format!("40{{\"token\":{token}}}").as_bytes())).await?;
    expect(&stream, &mut inflow, b"40").await?;
    expect(&stream, &mut inflow, b"42[\"connection:success\"").await?;
    Ok((stream, inflow))
}

/// Wait for a text that begins so. Some servers ask whether we are there before they have let us in.
async fn expect(stream: &TcpStream, inflow: &mut Inflow, beginning: &[u8]) -> Result<()> {
    loop {
        while let Some(text) = inflow.next() {
            if text.starts_with(beginning) {
                return Ok(());
            }
            match text {
                b"2" => write(stream, &frame(b"3")).await?,
                [b'4', b'1' | b'4', ..] => bail!("refused: {}", String::from_utf8_lossy(text)),
                _ => {}
            }
        }
        if !inflow.read(stream).await? {
            bail!("the server closed the connection");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_apart_wherever_they_are_cut() {
        let long = "x".repeat(300);
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x81, 126, 1, 44];
        bytes.extend(long.as_bytes());
        bytes.extend([0x81, 0, 0x81]);
        for cut in 0..bytes.len() {
            let mut inflow = Inflow::default();
            let mut told = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                inflow.make_room();
                inflow.bytes.extend(part);
                while let Some(text) = inflow.next() {
                    told.push(String::from_utf8(text.to_vec()).expect("text"));
                }
            }
            assert_eq!(told, ["hi", &long, ""], "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_says_how_long_it_is() {
        assert_eq!(frame(b"hi"), [0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(frame("x".repeat(300).as_bytes())[..4], [0x81, 0xfe, 1, 44]);
    }

    /// Whoever does not answer is taken for gone, and dropped in the middle of a run.
    #[tokio::test]
    async fn a_server_that_asks_before_it_lets_us_in_is_answered() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut said = [0; 1024];
            assert!(stream.read(&mut said).await.expect("a request") > 0);
            let texts: &[u8] = b"\x81\x030{}\x81\x012\x81\x0440{}\x81\x1842[\"connection:success\"]";
            stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                .await
                .expect("written");
            stream.write_all(texts).await.expect("written");
            let mut answered = Vec::new();
            while !answered.ends_with(b"3") {
                assert!(stream.read_buf(&mut answered).await.expect("an answer") > 0);
            }
        };
        let (opened, ()) = tokio::join!(open(address, "token"), server);
        assert!(opened.is_ok(), "{opened:?}");
    }
}
