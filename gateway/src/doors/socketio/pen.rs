//! Writes to one client.
//!
//! Over a WebSocket we write ourselves, beside the library: what goes to many is rendered once, and all that is there goes out at
//! once. Whoever polls, or began by polling, is written to through the library.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::{SendError, SocketError, extract::SocketRef};
use tokio::time::Instant;

use super::{
    frame,
    incoming::{Ack, Sent},
    outlet::Ending,
    writer::Ended,
};
use crate::{doors::line::Line, error::Error, fanout::Delivery};

/// What is gathered before it is written.
const PAGE: usize = 64 * 1024;
/// How long to wait for room in the library's buffer, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

pub struct Pen {
    socket: SocketRef,
    /// A WebSocket from the beginning.
    line: Option<Line>,
    ending: Ending,
    /// Frames that are not written yet.
    page: Vec<u8>,
    /// When the connection last took nothing.
    pub was_full: Option<Instant>,
}

impl Pen {
    pub fn new(socket: SocketRef, line: Option<Line>, ending: Ending) -> Self {
        Self {
            socket,
            line,
            ending,
            page: Vec::new(),
            was_full: None,
        }
    }

    /// Something that only this client is told.
    pub async fn event(
        &mut self,
        name: &str,
        payload: &(impl Serialize + ?Sized + Sync),
    ) -> Result<(), Ended> {
        if self.line.is_none() {
            return self.emit(name, payload).await;
        }
        let payload = to_raw_value(payload).map_err(Error::internal)?;
        self.put(&frame::event(name, &payload)).await
    }

    /// Something that others are told, too.
    pub async fn told(&mut self, name: &str, payload: &RawValue) -> Result<(), Ended> {
        if self.line.is_none() {
            return self.emit(name, payload).await;
        }
        self.put(&frame::event(name, payload)).await
    }

    /// Something that everybody is told in the same words.
    pub async fn told_to_all(&mut self, name: &str, delivery: &Delivery) -> Result<(), Ended> {
        if self.line.is_none() {
            return self.emit(name, delivery.json()).await;
        }
        self.put(delivery.rendered(|json| frame::event(name, json))).await
    }

    pub async fn ack(&mut self, ack: Ack, said: &RawValue) -> Result<(), Ended> {
        if self.line.is_some() {
            return match ack.id() {
                Some(id) => self.put(&frame::ack(id, said)).await,
                None => Ok(()),
            };
        }
        let mut pause = PAUSE.0;
        while ack.send(said) == Sent::NoRoom {
            self.wait(&mut pause).await?;
        }
        Ok(())
    }

    /// Is there something that was not written yet?
    pub fn is_behind(&self) -> bool {
        !self.page.is_empty()
    }

    async fn put(&mut self, frame: &[u8]) -> Result<(), Ended> {
        self.page.extend_from_slice(frame);
        if self.page.len() >= PAGE {
            self.flush().await?;
        }
        Ok(())
    }

    /// Write what was gathered. A client that does not read keeps us waiting: the socket's queue fills meanwhile, and when that is
    /// full the socket ends.
    pub async fn flush(&mut self) -> Result<(), Ended> {
        let Some(line) = self.line.as_ref().filter(|_| !self.page.is_empty()) else {
            return Ok(());
        };
        let written = tokio::select! {
            biased;
            written = line.write(&self.page) => written,
            () = self.ending.has_come() => return Err(Ended::Gone),
        };
        // Most have nothing to read most of the time.
        if self.page.capacity() > PAGE / 16 {
            self.page = Vec::new();
        }
        self.page.clear();
        match written {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.was_full = Some(Instant::now());
                Ok(())
            }
            Err(_) => Err(Ended::Gone),
        }
    }

    /// Give an event to the library. If its buffer is full, wait.
    async fn emit(&mut self, name: &str, payload: &(impl Serialize + ?Sized + Sync)) -> Result<(), Ended> {
        let mut pause = PAUSE.0;
        loop {
            match self.socket.emit(name, payload) {
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
