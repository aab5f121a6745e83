//! A connection that can be cut from our side.
//!
//! The libraries above close politely: they wait until the peer has taken what is under way, and a peer that does not read keeps
//! them waiting. Cutting the line makes every read and write fail at once, so that everything above lets go.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The handle on a connection.
#[derive(Clone, Debug, Default)]
pub struct Line(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cut: CancellationToken,
    /// What goes over the connection is encrypted.
    is_sealed: bool,
    /// As long as the connection is there.
    wire: OnceLock<Weak<()>>,
}

impl Line {
    /// Of a connection with TLS between.
    pub fn sealed() -> Self {
        Self(Arc::new(Shared {
            is_sealed: true,
            ..Shared::default()
        }))
    }

    pub fn is_plain(&self) -> bool {
        !self.0.is_sealed
    }

    pub fn cut(&self) {
        self.0.cut.cancel();
    }

    /// Has everybody let go of the connection?
    pub fn is_gone(&self) -> bool {
        self.0.wire.get().is_some_and(|wire| wire.strong_count() == 0)
    }
}

/// The connection itself.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    is_there: Arc<()>,
    // One for each direction: each wakes whoever waits there.
    cut_reading: Pin<Box<WaitForCancellationFutureOwned>>,
    cut_writing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Wire {
    pub fn new(stream: TcpStream, line: &Line) -> Self {
        let is_there = Arc::new(());
        let _ = line.0.wire.set(Arc::downgrade(&is_there));
        Self {
            stream,
            is_there,
            cut_reading: Box::pin(line.0.cut.clone().cancelled_owned()),
            cut_writing: Box::pin(line.0.cut.clone().cancelled_owned()),
        }
    }

    /// The connection alone, which nobody else can cut any more.
    pub fn into_stream(self) -> TcpStream {
        drop(self.is_there);
        self.stream
    }

    /// Write, unless the line is cut.
    fn writing<T>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.cut_writing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut()));
        }
        write(Pin::new(&mut self.stream), cx)
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "we cut the line")
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut_reading.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writing(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing(cx, |stream, cx| stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writing(cx, |stream, cx| stream.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
