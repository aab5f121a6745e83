//! One GET over a plain socket: enough to ask a service how it feels, and no client needed.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Status and body, or nothing when there was no proper answer within three seconds.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let patience = Duration::from_secs(3);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.set_write_timeout(Some(patience)).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut bytes = Vec::new();
    // A reset after the body is still an answer.
    let _ = stream.take(1 << 20).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let status = text.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let body = text
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default();
    Some((status, body))
}

pub(crate) fn is_ready(ops_port: u16) -> bool {
    get(ops_port, "/health/ready").is_some_and(|(status, _)| status == 200)
}
