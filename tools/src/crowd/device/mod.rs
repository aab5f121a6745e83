//! A running client that looks after itself: it connects to any replica, comes back when the connection breaks, sends now and then,
//! and sends again under the same key until it is answered. Everything goes into the ledger.
//!
//! There are two kinds. One names the places it has seen when it comes back, and is told exactly what came since. The other behaves
//! like the existing client: it names nothing, is told what its person has not got, and reads the history over REST.

mod life;
mod reading;
mod sending;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use uuid::Uuid;

use self::life::Life;
use super::{
    ledger::{Client, Connection, Ledger},
    population::Person,
};
use crate::client::Rest;

/// Where all devices are: the replicas they may connect to, and how busy everybody is.
#[derive(Debug)]
pub struct Town {
    pub ledger: Ledger,
    /// Addresses of replicas, or of one balancer: `http://127.0.0.1:3000`.
    doors: Vec<Rest>,
    /// How much faster than their habit everybody sends; 0 is silence.
    tempo: watch::Sender<f64>,
    connections: AtomicUsize,
}

impl Town {
    pub fn new(addresses: &[String]) -> Arc<Self> {
        Arc::new(Self {
            ledger: Ledger::default(),
            doors: addresses.iter().map(Rest::new).collect(),
            tempo: watch::Sender::new(0.0),
            connections: AtomicUsize::new(0),
        })
    }

    /// From now on, everybody sends so many times as often as they are used to.
    pub fn tempo(&self, tempo: f64) {
        self.tempo.send_replace(tempo);
    }

    pub fn doors(&self) -> &[Rest] {
        &self.doors
    }

    fn next_connection(&self) -> Connection {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }
}

/// How a device behaves.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Names its positions when it comes back.
    pub resumes: bool,
    /// Sends over REST, as the existing client does, and not over its connection.
    pub posts: bool,
    /// About how long it waits between two messages.
    pub pace: Duration,
}

/// How a device is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Which door it is connected to, once it has been told all that was missed.
    pub door: Option<usize>,
    /// Messages that nobody has answered yet.
    pub unanswered: usize,
    /// Still has to read the history.
    pub is_behind: bool,
}

/// A device; dropping it ends it without a word.
#[derive(Debug)]
pub struct Device {
    pub client: Client,
    wishes: mpsc::UnboundedSender<Wish>,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

/// What a device is asked to do.
#[derive(Debug)]
enum Wish {
    Read(bool),
    BreakOff,
    StayAway(bool),
}

impl Device {
    /// Start one for somebody who is in these chats. `seed` decides what it does when.
    pub fn start(
        town: &Arc<Town>,
        client: Client,
        person: &Person,
        chats: Vec<Uuid>,
        habits: Habits,
        seed: u64,
    ) -> Self {
        let (wishes, wished) = mpsc::unbounded_channel();
        let (tells, state) = watch::channel(State::default());
        let life = Life::new(town.clone(), client, person, chats, habits, seed, wished, tells);
        #[expect(
            clippy::disallowed_methods,
            reason = "the client ends with the device, which owns the task"
        )]
        let task = tokio::spawn(life.go_on());
        Self {
            client,
            wishes,
            state,
            task,
        }
    }

    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Stop reading from the connection, or read on.
    pub fn reads(&self, reads: bool) {
        let _ = self.wishes.send(Wish::Read(reads));
    }

    /// Break the connection in the middle of a frame.
    pub fn break_off(&self) {
        let _ = self.wishes.send(Wish::BreakOff);
    }

    /// When the connection breaks, do not come back; or do, now.
    pub fn stay_away(&self, away: bool) {
        let _ = self.wishes.send(Wish::StayAway(away));
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.task.abort();
    }
}
