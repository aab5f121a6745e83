//! Writes to one client.
//!
//! To whoever came by WebSocket we write ourselves: what goes to many is rendered once, and all that is there goes out at once.
//! Whoever polls, or began by polling, is written to through the library.

use std::{io, time::Duration};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::{
    SendError, SocketError,
    extract::{AckSender, SocketRef},
    handler::{FromMessageParts, Value},
};
use tokio::{net::tcp::OwnedWriteHalf, time::Instant};

use super::{
    incoming::Ack,
    lines::{Lines, Strand},
    outlet::Ending,
    packet,
    writer::Ended,
};
use crate::{error::Error, fanout::Delivery};

/// What is gathered before it is written.
const PAGE: usize = 64 * 1024;
/// What is kept to gather in, at most. Most have nothing to read most of the time.
const KEPT: usize = 256;
/// How long to wait for room in the library's buffer, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

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
    /// Frames that are not written yet, but for the first so many bytes of them.
    page: Vec<u8>,
    done: usize,
}

/// A socket of the library. However we let go of it, it ends.
pub struct Through {
    socket: SocketRef,
    lines: Lines,
    strand: Option<Strand>,
}

impl Drop for Through {
    fn drop(&mut self) {
        match self.strand.take() {
            Some(strand) => strand.cut(),
            None => self.lines.cut(&self.socket.id.to_string()),
        }
    }
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
    pub async fn event(
        &mut self,
        name: &str,
        payload: &(impl Serialize + ?Sized + Sync),
    ) -> Result<(), Ended> {
        match &mut self.hand {
            Hand::Client(client) => {
                let payload = to_raw_value(payload).map_err(Error::internal)?;
                client.put(&packet::event(name, &payload));
                self.turn_page().await
            }
            Hand::Library(_) => self.emit(name, payload).await,
        }
    }

    /// Something that others are told, too.
    pub async fn told(&mut self, name: &str, payload: &RawValue) -> Result<(), Ended> {
        match &mut self.hand {
            Hand::Client(client) => {
                client.put(&packet::event(name, payload));
                self.turn_page().await
            }
            Hand::Library(_) => self.emit(name, payload).await,
        }
    }

    /// Something that everybody is told in the same words.
    pub async fn told_to_all(&mut self, name: &str, delivery: &Delivery) -> Result<(), Ended> {
        match &mut self.hand {
            Hand::Client(client) => {
                client.put(delivery.rendered(|json| packet::event(name, json)));
                self.turn_page().await
            }
            Hand::Library(_) => self.emit(name, delivery.json()).await,
        }
    }

    pub async fn ack(&mut self, ack: Ack, said: &RawValue) -> Result<(), Ended> {
        match (ack, &mut self.hand) {
            (Ack::Direct(id), _) => self.frame(&packet::ack(id, said)).await,
            (Ack::Library(..), Hand::Client(_)) => Ok(()),
            (Ack::Library(socket, id), Hand::Library(_)) => {
                let mut pause = PAUSE.0;
                loop {
                    // The library's sender can be used once.
                    let mut nothing = Value::Str("[]".into(), None);
                    let Ok(sender) = AckSender::from_message_parts(&socket, &mut nothing, &Some(id));
                    match sender.send(said) {
                        Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                            self.wait(&mut pause).await?;
                        }
                        _ => return Ok(()),
                    }
                }
            }
        }
    }

    /// A frame that is ready. The library has its own.
    pub async fn frame(&mut self, frame: &[u8]) -> Result<(), Ended> {
        if let Hand::Client(client) = &mut self.hand {
            client.put(frame);
            return self.turn_page().await;
        }
        Ok(())
    }

    /// Tell the client to go.
    pub async fn send_away(&mut self) -> Result<(), Ended> {
        match &mut self.hand {
            Hand::Client(client) => {
                client.put(&packet::sent_away());
                client.write_out().await.map_err(|_| Ended::Gone)
            }
            Hand::Library(library) => {
                // The library forgets it at once; we do not.
                library.strand = library.lines.take(&library.socket.id.to_string());
                let _ = library.socket.clone().disconnect();
                Ok(())
            }
        }
    }

    /// Is there something that was not written yet?
    pub fn is_behind(&self) -> bool {
        matches!(&self.hand, Hand::Client(client) if !client.page.is_empty())
    }

    async fn turn_page(&mut self) -> Result<(), Ended> {
        match &self.hand {
            Hand::Client(client) if client.page.len() >= PAGE => self.flush().await,
            _ => Ok(()),
        }
    }

    /// Write what was gathered. A client that does not read keeps us waiting: the socket's queue fills meanwhile, and when that is
    /// full the socket ends. May be dropped: the next one goes on where this one was.
    pub async fn flush(&mut self) -> Result<(), Ended> {
        let Hand::Client(client) = &mut self.hand else {
            return Ok(());
        };
        let was_full = &mut self.was_full;
        let writing = async {
            while !client.write()? {
                *was_full = Some(Instant::now());
                client.stream.writable().await?;
            }
            Ok::<_, io::Error>(())
        };
        let written = tokio::select! {
            biased;
            written = writing => written,
            () = self.ending.has_come() => return Err(Ended::Gone),
        };
        written.map_err(|_| Ended::Gone)
    }

    /// Give an event to the library. If its buffer is full, wait.
    async fn emit(&mut self, name: &str, payload: &(impl Serialize + ?Sized + Sync)) -> Result<(), Ended> {
        let mut pause = PAUSE.0;
        loop {
            let Hand::Library(library) = &self.hand else {
                return Ok(());
            };
            match library.socket.emit(name, payload) {
                Ok(()) => return Ok(()),
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {}
                Err(_) => return Err(Ended::Gone),
            }
            self.wait(&mut pause).await?;
        }
    }

    async fn wait(&mut self, pause: &mut Duration) -> Result<(), Ended> {
        self.was_full = Some(Instant::now());
        tokio::select! {
            () = tokio::time::sleep(*pause) => *pause = (*pause * 2).min(PAUSE.1),
            () = self.ending.has_come() => return Err(Ended::Gone),
        }
        Ok(())
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
        self.page.extend_from_slice(frame);
    }

    pub async fn write_out(&mut self) -> io::Result<()> {
        while !self.write()? {
            self.stream.writable().await?;
        }
        Ok(())
    }

    /// Write what there is, as far as the client takes it. Says whether that was all.
    fn write(&mut self) -> io::Result<bool> {
        while self.done < self.page.len() {
            match self.stream.try_write(&self.page[self.done..]) {
                Ok(written) => self.done += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.done = 0;
        self.page.clear();
        if self.page.capacity() > KEPT {
            self.page = Vec::new();
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
        }
    }
}
