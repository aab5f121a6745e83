//! Writes to one client.
//!
//! To whoever came by WebSocket we write ourselves: what goes to many is rendered once, and all that is there goes out at once.
//! Whoever polls, or began by polling, is written to through the library.

use std::{cell::RefCell, collections::VecDeque, io, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::{
    SendError, SocketError,
    adapter::LocalAdapter,
    extract::{AckSender, SocketRef},
    handler::{FromMessageParts, Value},
    socket::Socket,
};
use tokio::{net::tcp::OwnedWriteHalf, time::Instant};

use super::{
    incoming::Ack,
    lines::{Lines, Strand},
    outlet::Ending,
    packet,
    writer::Ended,
};
use crate::{
    error::{Error, Result},
    fanout::Delivery,
};

/// What is gathered before it is written.
const PAGE: usize = 64 * 1024;
/// The same for the library, in packets.
const LINES: usize = 128;
/// What is taken to gather in, and what is kept of it for others: so many pages for each thread, none larger than this.
const FRESH: usize = 2 * 1024;
const KEPT: (usize, usize) = (64, 16 * 1024);
/// How long to wait for room in the library's buffer, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

thread_local! {
    /// Pages that nobody writes on. Most sockets have nothing to read most of the time, and what was written on last is still in the
    /// processor's cache.
    static PAGES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn fresh_page() -> Vec<u8> {
    let kept = PAGES.with_borrow_mut(Vec::pop);
    kept.unwrap_or_else(|| Vec::with_capacity(FRESH))
}

fn keep_page(mut page: Vec<u8>) {
    let (pages, bytes) = KEPT;
    if page.capacity() <= bytes {
        page.clear();
        PAGES.with_borrow_mut(|kept| {
            if kept.len() < pages {
                kept.push(page);
            }
        });
    }
}

pub struct Pen {
    hand: Hand,
    ending: Ending,
    /// When the connection last took nothing.
    pub was_full: Option<Instant>,
}

/// What holds the pen.
pub enum Hand {
    Client(Direct),
    Library(Through),
}

/// A connection of ours.
pub struct Direct {
    stream: OwnedWriteHalf,
    /// Frames that are not written yet, but for the first so many bytes of them. Takes no room while there are none.
    page: Vec<u8>,
    done: usize,
}

/// A socket of the library. However we let go of it, it ends.
pub struct Through {
    socket: SocketRef,
    lines: Lines,
    strand: Option<Strand>,
    page: VecDeque<Said>,
}

enum Said {
    Event(&'static str, Box<RawValue>),
    Ack(Arc<Socket<LocalAdapter>>, i64, Box<RawValue>),
}

impl Pen {
    pub fn new(hand: Hand, ending: Ending) -> Self {
        Self {
            hand,
            ending,
            was_full: None,
        }
    }

    pub fn into_hand(self) -> Hand {
        self.hand
    }

    /// Something that only this client is told.
    pub fn event(&mut self, name: &'static str, payload: &impl Serialize) -> Result<()> {
        let payload = to_raw_value(payload).map_err(Error::internal)?;
        self.told(name, &payload);
        Ok(())
    }

    /// Something that others are told, too.
    pub fn told(&mut self, name: &'static str, payload: &RawValue) {
        match &mut self.hand {
            Hand::Client(client) => client.put(&packet::event(name, payload)),
            Hand::Library(library) => library.put(Said::Event(name, payload.to_owned())),
        }
    }

    /// Something that everybody is told in the same words.
    pub fn told_to_all(&mut self, name: &'static str, delivery: &Delivery) {
        match &mut self.hand {
            Hand::Client(client) => client.put(delivery.rendered(|json| packet::event(name, json))),
            Hand::Library(library) => library.put(Said::Event(name, delivery.json().to_owned())),
        }
    }

    pub fn ack(&mut self, ack: Ack, said: Box<RawValue>) {
        match (&mut self.hand, ack) {
            (Hand::Client(client), Ack::Direct(id)) => client.put(&packet::ack(id, &said)),
            (Hand::Library(library), Ack::Library(socket, id)) => library.put(Said::Ack(socket, id, said)),
            (Hand::Client(_), Ack::Library(..)) | (Hand::Library(_), Ack::Direct(_)) => {}
        }
    }

    /// A frame that is ready. The library has its own.
    pub fn frame(&mut self, frame: &[u8]) {
        if let Hand::Client(client) = &mut self.hand {
            client.put(frame);
        }
    }

    /// Is it time to write out what was gathered?
    pub fn is_full(&self) -> bool {
        match &self.hand {
            Hand::Client(client) => client.page.len() >= PAGE,
            Hand::Library(library) => library.page.len() >= LINES,
        }
    }

    /// Is there something that was not written yet?
    pub fn is_behind(&self) -> bool {
        match &self.hand {
            Hand::Client(client) => !client.page.is_empty(),
            Hand::Library(library) => !library.page.is_empty(),
        }
    }

    /// Write what was gathered. A client that does not read keeps us waiting: the socket's mailbox fills meanwhile, and when that is
    /// full the socket ends. May be dropped: the next one goes on where this one was.
    pub async fn flush(&mut self) -> Result<(), Ended> {
        if self.is_behind() && !self.write().map_err(|_| Ended::Gone)? {
            // Rare, and so it is to take no room otherwise.
            return Box::pin(self.flush_slowly()).await;
        }
        Ok(())
    }

    async fn flush_slowly(&mut self) -> Result<(), Ended> {
        let mut pause = PAUSE.0;
        loop {
            self.was_full = Some(Instant::now());
            let room = async {
                match &self.hand {
                    Hand::Client(client) => client.stream.writable().await,
                    Hand::Library(_) => {
                        tokio::time::sleep(pause).await;
                        Ok(())
                    }
                }
            };
            tokio::select! {
                biased;
                () = self.ending.has_come() => return Err(Ended::Gone),
                room = room => if room.is_err() { return Err(Ended::Gone) },
            }
            pause = (pause * 2).min(PAUSE.1);
            if self.write().map_err(|_| Ended::Gone)? {
                return Ok(());
            }
        }
    }

    /// Write what there is, as far as it is taken. Says whether that was all.
    fn write(&mut self) -> io::Result<bool> {
        match &mut self.hand {
            Hand::Client(client) => client.write(),
            Hand::Library(library) => library.write(),
        }
    }

    /// Tell the client to go.
    pub async fn send_away(&mut self) -> io::Result<()> {
        match &mut self.hand {
            Hand::Client(client) => {
                client.put(&packet::sent_away());
                client.write_out().await
            }
            Hand::Library(library) => {
                // The library forgets it at once; we do not.
                library.strand = library.lines.take(&library.socket.id.to_string());
                let _ = library.socket.clone().disconnect();
                Ok(())
            }
        }
    }
}

impl Direct {
    pub fn new(stream: OwnedWriteHalf) -> Self {
        Self {
            stream,
            page: Vec::new(),
            done: 0,
        }
    }

    pub fn put(&mut self, frame: &[u8]) {
        if self.page.capacity() == 0 {
            self.page = fresh_page();
        }
        self.page.extend_from_slice(frame);
    }

    /// Forget what is not written. Says whether that could be: what has been begun has to be brought to its end, and nobody knows where
    /// that is.
    pub fn forgets(&mut self) -> bool {
        let is_between = self.done == 0;
        if is_between {
            self.page.clear();
        }
        is_between
    }

    pub async fn write_out(&mut self) -> io::Result<()> {
        while !self.write()? {
            self.stream.writable().await?;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<bool> {
        while self.done < self.page.len() {
            match self.stream.try_write(&self.page[self.done..]) {
                Ok(written) => self.done += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.done = 0;
        if self.page.capacity() > 0 {
            keep_page(std::mem::take(&mut self.page));
        }
        Ok(true)
    }
}

impl Through {
    pub fn new(socket: SocketRef, lines: Lines) -> Self {
        Self {
            socket,
            lines,
            strand: None,
            page: VecDeque::new(),
        }
    }

    fn put(&mut self, said: Said) {
        self.page.push_back(said);
    }

    fn write(&mut self) -> io::Result<bool> {
        while let Some(said) = self.page.front() {
            let sent = match said {
                Said::Event(name, payload) => self.socket.emit(name, payload),
                Said::Ack(socket, id, said) => {
                    // The library's sender can be used once.
                    let mut nothing = Value::Str("[]".into(), None);
                    let Ok(sender) = AckSender::from_message_parts(socket, &mut nothing, &Some(*id));
                    sender.send(said)
                }
            };
            match sent {
                Ok(()) => self.page.pop_front(),
                Err(SendError::Socket(SocketError::InternalChannelFull)) => return Ok(false),
                Err(_) => return Err(io::ErrorKind::NotConnected.into()),
            };
        }
        Ok(true)
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        match self.strand.take() {
            Some(strand) => strand.cut(),
            None => self.lines.cut(&self.socket.id.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn only_what_has_not_been_begun_is_forgotten() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_reading, writing) = listener.accept().await.unwrap().0.into_split();
        let mut hand = Direct::new(writing);
        hand.put(b"a frame");
        assert!(hand.forgets());
        assert!(hand.page.is_empty());
        // More than the kernel takes from somebody who does not read.
        hand.put(&vec![0; 64 * 1024 * 1024]);
        assert!(!hand.write().unwrap());
        assert!(!hand.forgets());
        assert!(!hand.page.is_empty());
        drop(reader);
    }
}
