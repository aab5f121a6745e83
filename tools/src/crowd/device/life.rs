//! What a device does all day.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use uuid::Uuid;

use super::{
    Habits, State, Town, Wish,
    sending::{self, Attempt, Outcome, Pending},
};
use crate::{
    client::{Heard, Rest, Socket},
    crowd::{
        ledger::{Client, Connection, What},
        population::Person,
    },
};

/// A replica that does not say hello by then is not there.
const HELLO: Duration = Duration::from_secs(4);
/// How long to wait before trying again whatever failed, in milliseconds.
const PAUSE: std::ops::Range<u64> = 50..400;
/// How often a silent device looks whether it may speak again.
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Life {
    town: Arc<Town>,
    client: Client,
    me: Uuid,
    token: String,
    /// The town's doors, with this person's key.
    pub(super) doors: Vec<Rest>,
    pub(super) chats: HashSet<Uuid>,
    habits: Habits,
    pub(super) rng: StdRng,
    wishes: mpsc::UnboundedReceiver<Wish>,
    state: watch::Sender<State>,
    is_away: bool,
    /// The last place seen of each chat.
    pub(super) positions: HashMap<Uuid, i64>,
    /// Chats whose history has to be read, and up to where it was.
    pub(super) to_read: HashSet<Uuid>,
    pub(super) read_up_to: HashMap<Uuid, i64>,
    pending: BTreeMap<String, Pending>,
    under_way: FuturesUnordered<Attempt>,
    /// When to ask again.
    due: Vec<(Instant, String)>,
    said: u64,
    speaks_at: Instant,
    reads_at: Instant,
}

/// Why a connection is not there any more.
enum End {
    Broken,
    /// Nobody holds the device.
    Over,
}

impl Life {
    #[expect(clippy::too_many_arguments, reason = "everything that makes a device")]
    pub(super) fn new(
        town: Arc<Town>,
        client: Client,
        person: &Person,
        chats: Vec<Uuid>,
        habits: Habits,
        seed: u64,
        wishes: mpsc::UnboundedReceiver<Wish>,
        state: watch::Sender<State>,
    ) -> Self {
        let doors = town.doors().iter().map(|door| door.with_token(&person.token));
        Self {
            doors: doors.collect(),
            town,
            client,
            me: person.id,
            token: person.token.clone(),
            chats: chats.into_iter().collect(),
            habits,
            rng: StdRng::seed_from_u64(seed),
            wishes,
            state,
            is_away: false,
            positions: HashMap::new(),
            to_read: HashSet::new(),
            read_up_to: HashMap::new(),
            pending: BTreeMap::new(),
            under_way: FuturesUnordered::new(),
            due: Vec::new(),
            said: 0,
            speaks_at: Instant::now(),
            reads_at: Instant::now(),
        }
    }

    pub(super) async fn go_on(mut self) {
        loop {
            let end = if self.is_away {
                self.pause(LOOK).await
            } else {
                let door = self.rng.random_range(0..self.doors.len());
                match self.connect(door).await {
                    Ok((socket, connection)) => self.stay(socket, connection, door).await,
                    Err(_) => {
                        let pause = self.rng.random_range(PAUSE);
                        self.pause(Duration::from_millis(pause)).await
                    }
                }
            };
            if let End::Over = end {
                return;
            }
        }
    }

    /// Wait, while what is under way goes on.
    async fn pause(&mut self, pause: Duration) -> End {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return End::Broken,
                Some((key, outcome)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.conclude(key, outcome);
                }
                wish = self.wishes.recv() => match wish {
                    Some(Wish::StayAway(away)) => self.is_away = away,
                    Some(Wish::Read(_) | Wish::BreakOff) => {}
                    None => return End::Over,
                },
            }
        }
    }

    async fn connect(&mut self, door: usize) -> Result<(Socket, Connection)> {
        let base = self.doors[door].base().to_owned();
        let mut hello = json!({"token": self.token});
        if self.habits.resumes {
            hello["positions"] = json!(self.positions);
        }
        let mut socket = timeout(HELLO, Socket::open_with(&base, hello)).await??;
        let welcome = timeout(HELLO, socket.recv()).await?.context("no hello")?;
        if welcome.name != "connection:success" {
            bail!("expected a hello, got {}", welcome.name);
        }
        let connection = self.town.next_connection();
        let opened = What::Opened { connection, to: base };
        self.town
            .ledger
            .note_at(welcome.at.into_std(), self.client, opened);
        if self.habits.resumes {
            self.begin(&welcome.payload["positions"]);
        } else {
            self.to_read.extend(&self.chats);
        }
        Ok((socket, connection))
    }

    /// Where the replica says that its chats are. Those that were not known begin there.
    fn begin(&mut self, positions: &Value) {
        for (chat, seq) in positions.as_object().into_iter().flatten() {
            let (Ok(chat), Some(seq)) = (chat.parse(), seq.as_i64()) else {
                continue;
            };
            self.chats.insert(chat);
            if let Entry::Vacant(unknown) = self.positions.entry(chat) {
                unknown.insert(seq);
                self.note(What::Begins { chat, seq });
            }
        }
    }

    /// Live with a connection until it ends.
    async fn stay(&mut self, mut socket: Socket, connection: Connection, door: usize) -> End {
        self.tell_state(Some(door));
        loop {
            let wake_up = self.wakes_up_at();
            tokio::select! {
                heard = socket.recv() => match heard {
                    Some(heard) => self.hear(&heard, connection),
                    None => break,
                },
                Some((key, outcome)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.conclude(key, outcome);
                }
                wish = self.wishes.recv() => match wish {
                    Some(Wish::Read(reads)) => socket.reads(reads),
                    Some(Wish::BreakOff) => socket.break_off(),
                    Some(Wish::StayAway(away)) => self.is_away = away,
                    None => return End::Over,
                },
                () = sleep_until(wake_up) => self.act(&mut socket).await,
            }
            self.tell_state(Some(door));
        }
        let why = "the connection ended".to_owned();
        self.note(What::Closed { connection, why });
        self.tell_state(None);
        End::Broken
    }

    fn wakes_up_at(&self) -> Instant {
        let due = self.due.iter().map(|(when, _)| *when);
        let reads = (!self.to_read.is_empty()).then_some(self.reads_at);
        due.chain(reads).fold(self.speaks_at, Instant::min)
    }

    async fn act(&mut self, socket: &mut Socket) {
        let now = Instant::now();
        if !self.to_read.is_empty() && self.reads_at <= now {
            self.read_history().await;
            self.reads_at = Instant::now() + LOOK;
        }
        for (_, key) in self
            .due
            .extract_if(.., |(when, _)| *when <= now)
            .collect::<Vec<_>>()
        {
            self.send(key, socket);
        }
        if self.speaks_at <= now {
            self.speak(socket);
        }
    }

    fn speak(&mut self, socket: &mut Socket) {
        let tempo = *self.town.tempo.borrow();
        if tempo <= 0.0 {
            self.speaks_at = Instant::now() + LOOK;
            return;
        }
        let pause = self.habits.pace.as_secs_f64() * self.rng.random_range(0.5..1.5) / tempo;
        self.speaks_at = Instant::now() + Duration::from_secs_f64(pause);
        // Sorted, because sets are in another order each time.
        let mut chats: Vec<Uuid> = self.chats.iter().copied().collect();
        chats.sort_unstable();
        if chats.is_empty() {
            return;
        }
        let chat = chats[self.rng.random_range(0..chats.len())];
        self.said += 1;
        let key = format!(
            "{}-{}",
            self.me.simple(),
            self.client as u64 * 1_000_000_000 + self.said
        );
        let text = format!("Number {} of client {}", self.said, self.client);
        self.pending.insert(key.clone(), Pending { chat, text });
        self.send(key, socket);
    }

    /// Try to send, for the first time or again.
    fn send(&mut self, key: String, socket: &mut Socket) {
        let Some(pending) = self.pending.get(&key).cloned() else {
            return;
        };
        self.note(What::Sent {
            key: key.clone(),
            chat: pending.chat,
        });
        let attempt = if self.habits.posts {
            let door = self.rng.random_range(0..self.doors.len());
            pending.by_rest(key, &self.doors[door])
        } else {
            let ack = socket.ask_later("message:send", &pending.payload(&key));
            sending::by_socket(key, ack)
        };
        self.under_way.push(attempt);
    }

    fn conclude(&mut self, key: String, outcome: Outcome) {
        let Some(Pending { chat, .. }) = self.pending.get(&key).cloned() else {
            return;
        };
        match outcome {
            Outcome::Acknowledged { message, seq } => {
                self.pending.remove(&key);
                self.note(What::Acknowledged {
                    key,
                    chat,
                    message,
                    seq,
                });
            }
            Outcome::Again(why) => {
                let pause = Duration::from_millis(self.rng.random_range(PAUSE));
                self.due.push((Instant::now() + pause, key.clone()));
                self.note(What::PutOff { key, why });
            }
            Outcome::Never(why) => {
                self.pending.remove(&key);
                self.chats.remove(&chat);
                self.note(What::Refused { key, why });
            }
        }
    }

    fn hear(&mut self, heard: &Heard, connection: Connection) {
        let payload = &heard.payload;
        let chat = payload["chatId"]
            .as_str()
            .and_then(|chat| chat.parse::<Uuid>().ok());
        let (Some(chat), seq) = (chat, payload["seq"].as_i64()) else {
            if heard.name == "chat:created" {
                self.join(payload);
            }
            return;
        };
        match heard.name.as_str() {
            "message:new" => {
                let message = payload["id"].as_str().and_then(|id| id.parse().ok());
                if let (Some(message), Some(seq)) = (message, seq) {
                    let told = What::Told {
                        connection,
                        chat,
                        message,
                        seq,
                    };
                    self.town.ledger.note_at(heard.at.into_std(), self.client, told);
                }
            }
            "message:edited"
            | "message:deleted"
            | "reaction:added"
            | "reaction:removed"
            | "chat:updated"
            | "chat:participant_added" => {}
            // Told personally, with a place in one's own history and not in the chat's.
            "chat:participant_removed" if payload["userId"] == json!(self.me) => {
                self.chats.remove(&chat);
                self.positions.remove(&chat);
                return;
            }
            "chat:participant_removed" => {}
            "resync" => {
                self.positions.remove(&chat);
                self.to_read.insert(chat);
                return;
            }
            _ => return,
        }
        if let Some(seq) = seq {
            self.reach(chat, seq);
        }
    }

    pub(super) fn reach(&mut self, chat: Uuid, seq: i64) {
        let position = self.positions.entry(chat).or_insert(seq);
        *position = seq.max(*position);
    }

    /// Somebody put this person into a chat.
    fn join(&mut self, started: &Value) {
        let chat = started["id"].as_str().and_then(|chat| chat.parse().ok());
        if let (Some(chat), Some(seq)) = (chat, started["position"].as_i64()) {
            self.chats.insert(chat);
            self.reach(chat, seq);
        }
    }

    pub(super) fn note(&self, what: What) {
        self.town.ledger.note(self.client, what);
    }

    fn tell_state(&self, door: Option<usize>) {
        let state = State {
            door,
            unanswered: self.pending.len(),
            is_behind: !self.to_read.is_empty(),
        };
        self.state.send_if_modified(|told| {
            let is_new = *told != state;
            *told = state;
            is_new
        });
    }
}
