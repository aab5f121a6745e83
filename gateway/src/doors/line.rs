//! A connection that can be cut from our side.
//!
//! The libraries above close politely: they wait until the peer has taken what is under way, and a peer that does not read keeps
//! them waiting. Cutting the line makes every read and write fail at once, so that everything above lets go.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The handle on a connection.
#[derive(Clone, Debug, Default)]
pub struct Line(CancellationToken);

impl Line {
    pub fn cut(&self) {
        self.0.cancel();
    }
}

/// The connection itself.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    line: Line,
    // One for each direction: each wakes whoever waits there.
    cut_reading: Pin<Box<WaitForCancellationFutureOwned>>,
    cut_writing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Wire {
    pub fn new(stream: TcpStream, line: &Line) -> Self {
        Self {
            stream,
            line: line.clone(),
            cut_reading: Box::pin(line.0.clone().cancelled_owned()),
            cut_writing: Box::pin(line.0.clone().cancelled_owned()),
        }
    }

    /// The outcome of a write, unless the line is or gets cut.
    fn writing<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.line.0.is_cancelled() {
            return Poll::Ready(Err(cut()));
        }
        let outcome = write(Pin::new(&mut self.stream), cx);
        if outcome.is_pending() && self.cut_writing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut()));
        }
        outcome
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
        if self.line.0.is_cancelled() {
            return Poll::Ready(Err(cut()));
        }
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if outcome.is_pending() && self.cut_reading.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut()));
        }
        outcome
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writing(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing(cx, |stream, cx| stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writing(cx, |stream, cx| stream.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
