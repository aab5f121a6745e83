//! A connection that can be cut from our side, and written to beside the library that holds it.
//!
//! The libraries above close politely: they wait until the peer has taken what is under way, and a peer that does not read keeps
//! them waiting. Cutting the line makes every read and write fail at once, so that everything above lets go.
//!
//! They also hand each packet from task to task and copy it four times before it is written. What goes to fifty people at once is
//! therefore rendered once and written here, between the library's own frames: whoever is in the middle of a frame finishes it, and
//! the other one waits.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

#[cfg(test)]
mod tests;

/// The handle on a connection.
#[derive(Clone, Debug, Default)]
pub struct Line(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cut: CancellationToken,
    /// What is written to the connection has to be encrypted before.
    is_sealed: bool,
    /// As long as the connection is there: it closes with its wire, whoever still has a handle.
    stream: OnceLock<Weak<TcpStream>>,
    turn: Mutex<Turn>,
    /// The library has finished a frame.
    is_free: Notify,
}

/// Who may write.
#[derive(Debug, Default)]
struct Turn {
    /// Who is in the middle of a frame.
    within: Option<Side>,
    /// The library waits for us.
    waits: Option<Waker>,
    /// A Socket.IO client has been let in: it understands events from here on.
    is_let_in: bool,
    /// The frame that says so is being written.
    lets_in: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Library,
    Us,
}

impl Line {
    /// Of a connection on which only the library can write, because TLS lies between.
    pub fn sealed() -> Self {
        Self(Arc::new(Shared {
            is_sealed: true,
            ..Shared::default()
        }))
    }

    /// May frames be written here, beside the library?
    pub fn takes_frames(&self) -> bool {
        !self.0.is_sealed
    }

    pub fn cut(&self) {
        self.0.cut.cancel();
    }

    /// Has the library let go of the connection?
    pub fn is_gone(&self) -> bool {
        self.0
            .stream
            .get()
            .is_some_and(|stream| stream.strong_count() == 0)
    }

    /// Write whole frames, once the library has let the client in, and between its own. Says whether the peer took it at once.
    ///
    /// If this is dropped half-way, the line is cut: nobody could tell where the next frame begins.
    pub async fn write(&self, frames: &[u8]) -> io::Result<bool> {
        let stream = self.0.stream.get().and_then(Weak::upgrade).ok_or_else(cut)?;
        let (mut rest, mut at_once) = (frames, true);
        let mut half = Half(self, false);
        while !rest.is_empty() {
            let is_free = self.0.is_free.notified();
            let outcome = self.write_some(&stream, &mut rest, &mut half.1);
            match outcome {
                Turned::Done => {}
                Turned::Full => {
                    at_once = false;
                    tokio::select! {
                        writable = stream.writable() => writable?,
                        () = self.0.cut.cancelled() => return Err(cut()),
                    }
                }
                Turned::NotOurs => tokio::select! {
                    () = is_free => {}
                    () = self.0.cut.cancelled() => return Err(cut()),
                },
                Turned::Failed(error) => return Err(error),
            }
        }
        Ok(at_once)
    }

    fn write_some(&self, stream: &TcpStream, rest: &mut &[u8], is_half: &mut bool) -> Turned {
        let mut turn = self.turn();
        if self.0.cut.is_cancelled() {
            return Turned::Failed(cut());
        }
        if !turn.is_let_in || turn.within == Some(Side::Library) {
            return Turned::NotOurs;
        }
        match stream.try_write(rest) {
            Ok(written) => {
                *rest = &rest[written..];
                *is_half = !rest.is_empty();
                turn.within = is_half.then_some(Side::Us);
                if !*is_half && let Some(library) = turn.waits.take() {
                    library.wake();
                }
                Turned::Done
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Turned::Full,
            Err(error) => Turned::Failed(error),
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of an attempt to write.
enum Turned {
    Done,
    /// The peer takes nothing more at this moment.
    Full,
    /// The library is in the middle of a frame, or has not let the client in yet.
    NotOurs,
    Failed(io::Error),
}

/// Whether we are in the middle of a frame.
struct Half<'a>(&'a Line, bool);

impl Drop for Half<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.cut();
        }
    }
}

/// The connection itself, as the library holds it.
#[derive(Debug)]
pub struct Wire {
    stream: Arc<TcpStream>,
    line: Line,
    // One for each direction: each wakes whoever waits there.
    cut_reading: Pin<Box<WaitForCancellationFutureOwned>>,
    cut_writing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Wire {
    pub fn new(stream: TcpStream, line: &Line) -> Self {
        let stream = Arc::new(stream);
        let _ = line.0.stream.set(Arc::downgrade(&stream));
        Self {
            stream,
            line: line.clone(),
            cut_reading: Box::pin(line.0.cut.clone().cancelled_owned()),
            cut_writing: Box::pin(line.0.cut.clone().cancelled_owned()),
        }
    }

    /// Let the library write, if it is its turn. `first` is what it begins with, `length` is all it has.
    fn writing(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        length: usize,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.line.0.cut.is_cancelled() {
            return Poll::Ready(Err(cut()));
        }
        let outcome = self.write_in_turn(cx, first, length, write);
        if outcome.is_pending() && self.cut_writing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut()));
        }
        outcome
    }

    fn write_in_turn(
        &self,
        cx: &mut Context<'_>,
        first: &[u8],
        length: usize,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            {
                let mut turn = self.line.turn();
                if turn.within == Some(Side::Us) {
                    turn.waits = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                match write(&self.stream) {
                    Ok(written) => {
                        if !turn.is_let_in && turn.within.is_none() {
                            turn.lets_in |= lets_in(first);
                        }
                        let is_whole = written == length;
                        turn.within = (!is_whole).then_some(Side::Library);
                        if is_whole {
                            turn.is_let_in |= turn.lets_in;
                            self.line.0.is_free.notify_one();
                        }
                        return Poll::Ready(Ok(written));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            ready!(self.stream.poll_write_ready(cx))?;
        }
    }
}

/// Is the answer to CONNECT among these frames? The library writes only whole ones, several at a time.
fn lets_in(mut frames: &[u8]) -> bool {
    const TEXT: u8 = 0x81;
    while let [TEXT, length @ ..=125, rest @ ..] = frames {
        let Some((text, next)) = rest.split_at_checked(usize::from(*length)) else {
            return false;
        };
        if text.starts_with(b"40") {
            return true;
        }
        frames = next;
    }
    false
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
        if self.line.0.cut.is_cancelled() {
            return Poll::Ready(Err(cut()));
        }
        loop {
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            match self.stream.poll_read_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending if self.cut_reading.as_mut().poll(cx).is_ready() => {
                    return Poll::Ready(Err(cut()));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writing(cx, bytes, bytes.len(), |stream| stream.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is with the kernel.
        if self.line.0.cut.is_cancelled() {
            return Poll::Ready(Err(cut()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.0.cut.is_cancelled() {
            return Poll::Ready(Err(cut()));
        }
        Poll::Ready(SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Write))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        let first = parts.first().map_or(&[][..], |part| part);
        self.writing(cx, first, length, |stream| stream.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
