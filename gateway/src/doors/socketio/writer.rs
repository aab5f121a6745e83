//! Writes to one socket what it has to be told, in order: what was missed, then what happens.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use serde_json::json;
use shared::{
    ChatId,
    event::{BrokenAt, Kind},
    topic::{Seq, Topic},
};
use socketioxide::{SendError, SocketError, extract::SocketRef};
use tokio::{sync::mpsc, time::Instant};
use tracing::warn;

use super::{
    answer::Answer,
    hold::Holds,
    incoming::{Ack, Sent},
    names,
    outlet::{Ending, Item},
};
use crate::{
    doors::session::{Live, Opened, Positions},
    error::Result,
    fanout::Delivery,
    features::{
        Caller,
        sessions::open::{self, Stretch},
    },
};

/// What may be put aside while something earlier is being told.
const ASIDE: usize = 8_192;
/// How long to wait for room in the library's buffer, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// An answer waits so long for the event that it must not overtake.
const PATIENCE: Duration = Duration::from_secs(1);
/// A broken connection shows by now: what was written longer ago has arrived.
const UNCERTAIN: Duration = Duration::from_secs(60);
/// A client that says goodbye ignores what is under way to it at that moment. Less than `arrivals::MOMENT`: what its author was told
/// to have arrived is not told again.
const UNDER_WAY: Duration = Duration::from_millis(40);

pub struct Writer {
    pub live: Live,
    pub caller: Caller,
    pub socket: SocketRef,
    pub items: mpsc::Receiver<Item>,
    pub ending: Ending,
    /// Each chat has been told up to here.
    told: Positions,
    /// Where this connection began to hear each chat.
    opened_at: Positions,
    /// What happened while something earlier was being told.
    aside: VecDeque<Item>,
    holds: Holds,
    /// Answers that must not overtake an event.
    waiting: Vec<(Answer, Option<Ack>, Instant)>,
    recent: Recent,
    /// When the connection last took nothing.
    was_full: Mutex<Option<Instant>>,
}

/// The socket takes nothing any more.
pub struct Ended;

impl Writer {
    pub fn new(
        live: Live,
        caller: Caller,
        socket: SocketRef,
        items: mpsc::Receiver<Item>,
        ending: Ending,
    ) -> Self {
        Self {
            live,
            caller,
            socket,
            items,
            ending,
            told: Positions::new(),
            opened_at: Positions::new(),
            aside: VecDeque::new(),
            holds: Holds::new(caller.session),
            waiting: Vec::new(),
            recent: Recent::new(Instant::now()),
            was_full: Mutex::new(None),
        }
    }

    /// Say hello, and tell what was missed.
    pub async fn catch_up(&mut self, opened: &Opened, wants_positions: bool) -> Result<Result<(), Ended>> {
        let mut hello = json!({
            "userId": self.caller.user,
            "timestamp": self.live.backend.clock.now(),
        });
        if wants_positions {
            hello["positions"] = json!(opened.heard);
        }
        if self.emit("connection:success", &hello).await.is_err() {
            return Ok(Err(Ended));
        }
        if self.tell_messages(&opened.undelivered).await?.is_err() {
            return Ok(Err(Ended));
        }
        for stretch in &opened.missed {
            if self.resume(*stretch).await?.is_err() {
                return Ok(Err(Ended));
            }
        }
        for chat in &opened.unknown {
            if self.ask_to_reload(*chat, "unknown_position").await.is_err() {
                return Ok(Err(Ended));
            }
        }
        self.told = opened.heard.clone();
        self.opened_at = opened.heard.clone();
        for (chat, upto) in &self.told {
            self.live.backend.arrivals.note(*chat, self.caller.user, *upto);
        }
        if !opened.undelivered.is_empty() {
            open::caught_up(&self.live.backend, &self.caller, &opened.undelivered).await?;
        }
        Ok(Ok(()))
    }

    /// Tell what others wrote in these stretches, page by page. What happens meanwhile waits.
    async fn tell_messages(&mut self, stretches: &[Stretch]) -> Result<Result<(), Ended>> {
        let mut page_end = None;
        while !stretches.is_empty() {
            let (messages, next) =
                open::undelivered(&self.live.backend, &self.caller, stretches, page_end).await?;
            for message in messages {
                let (chat, seq) = (message.chat_id, message.seq);
                self.recent.wrote(chat, seq, Instant::now());
                if self.emit("message:new", &message).await.is_err() {
                    return Ok(Err(Ended));
                }
                self.live.backend.arrivals.note(chat, self.caller.user, seq);
            }
            self.put_aside();
            page_end = next;
            if page_end.is_none() {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// Make room for what happens while something earlier is being told.
    fn put_aside(&mut self) {
        while self.aside.len() < ASIDE
            && let Ok(item) = self.items.try_recv()
        {
            self.aside.push_back(item);
        }
    }

    /// A connection of the same person broke with something under way. What it may not have got, and what was said before this one
    /// opened, nobody has told this one.
    async fn make_up_for(&mut self, delivery: &Delivery) -> Result<(), Ended> {
        let broken: Vec<BrokenAt> = delivery.read().unwrap_or_default();
        let mut stretches = Vec::new();
        for broken in broken {
            if let Some(upto) = self.opened_at.get_mut(&broken.chat_id)
                && broken.after < *upto
            {
                stretches.push(Stretch {
                    chat: broken.chat_id,
                    after: broken.after,
                    upto: *upto,
                });
                // From here on it has been told that, too.
                *upto = broken.after;
            }
        }
        match self.tell_messages(&stretches).await {
            Ok(told) => told,
            Err(error) => {
                warn!(?error, "Cannot tell what a broken connection may have missed");
                Ok(())
            }
        }
    }

    /// Tell event by event what a client has missed since the place it named.
    async fn resume(&mut self, stretch: Stretch) -> Result<Result<(), Ended>> {
        let Some(missed) = open::missed(&self.live.backend, &self.caller, stretch).await? else {
            return Ok(self.ask_to_reload(stretch.chat, "too_far_back").await);
        };
        for envelope in missed {
            let Some(delivery) = Delivery::new(Arc::new(envelope)) else {
                continue;
            };
            for (name, json) in names::told(&delivery, self.caller.user) {
                if self.emit(name, json).await.is_err() {
                    return Ok(Err(Ended));
                }
            }
        }
        Ok(Ok(()))
    }

    async fn ask_to_reload(&self, chat: ChatId, reason: &str) -> Result<(), Ended> {
        self.emit("resync", &json!({ "chatId": chat, "reason": reason }))
            .await
    }

    /// Write what comes, until the socket ends.
    pub async fn run(&mut self) {
        loop {
            let wake_up = self.next_deadline();
            let aside = self.aside.pop_front();
            tokio::select! {
                biased;
                () = self.ending.has_come() => return,
                item = async { match aside { Some(item) => Some(item), None => self.items.recv().await } } => {
                    let written = match item {
                        Some(Item::Told(delivery)) => self.hear(delivery).await,
                        Some(Item::Answer(answer, ack)) => self.answer(answer, ack).await,
                        None => return,
                    };
                    if written.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(wake_up.unwrap_or_else(Instant::now)), if wake_up.is_some() => {
                    if self.time_is_up().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn hear(&mut self, delivery: Arc<Delivery>) -> Result<(), Ended> {
        if delivery.kind == Some(Kind::LineBroke) {
            return self.make_up_for(&delivery).await;
        }
        for delivery in self.holds.pass(delivery, Instant::now()) {
            self.tell(&delivery).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, delivery: &Delivery) -> Result<(), Ended> {
        let place = match delivery.topic() {
            Topic::Chat(chat) if !delivery.is_passing() => Some((chat, delivery.seq())),
            _ => None,
        };
        if let (Some((chat, seq)), Some(Kind::MessageSent)) = (place, delivery.kind) {
            self.recent.wrote(chat, seq, Instant::now());
        }
        for (name, json) in names::told(delivery, self.caller.user) {
            self.emit(name, json).await?;
        }
        let Some((chat, seq)) = place else { return Ok(()) };
        self.told.insert(chat, seq);
        if delivery.kind == Some(Kind::MessageSent) {
            self.live.backend.arrivals.note(chat, self.caller.user, seq);
        }
        let told = &self.told;
        let due = self
            .waiting
            .extract_if(.., |(answer, ..)| is_behind(answer, told));
        for (answer, ack, _) in due.collect::<Vec<_>>() {
            self.say(answer, ack).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, answer: Answer, ack: Option<Ack>) -> Result<(), Ended> {
        if is_behind(&answer, &self.told) {
            return self.say(answer, ack).await;
        }
        self.waiting.push((answer, ack, Instant::now() + PATIENCE));
        Ok(())
    }

    async fn say(&self, answer: Answer, ack: Option<Ack>) -> Result<(), Ended> {
        if let Some((name, said)) = &answer.event {
            self.emit(name, said).await?;
        }
        let Some(ack) = ack else { return Ok(()) };
        let mut pause = PAUSE.0;
        while ack.send(&answer.ack) == Sent::NoRoom {
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
                () = self.ending.has_come() => return Err(Ended),
            }
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|(.., deadline)| *deadline);
        waiting.chain(self.holds.deadline()).min()
    }

    /// Whatever was waited for does not come: go on without it.
    async fn time_is_up(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        for delivery in self.holds.overdue(now) {
            self.tell(&delivery).await?;
        }
        let due = self.waiting.extract_if(.., |(.., deadline)| *deadline <= now);
        for (answer, ack, _) in due.collect::<Vec<_>>() {
            self.say(answer, ack).await?;
        }
        Ok(())
    }

    /// Give an event to the library. If its buffer is full, wait: the socket's own queue fills meanwhile, and when that is full
    /// the socket ends.
    async fn emit(&self, name: &str, payload: &(impl Serialize + ?Sized + Sync)) -> Result<(), Ended> {
        let mut pause = PAUSE.0;
        loop {
            match self.socket.emit(name, payload) {
                Ok(()) => return Ok(()),
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {}
                Err(_) => return Err(Ended),
            }
            self.note_full();
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
                () = self.ending.has_come() => return Err(Ended),
            }
        }
    }

    /// Did the client read more slowly than we wrote, a moment ago? Then some of it may still be on its way.
    pub fn is_behind(&self) -> bool {
        !self.items.is_empty()
            || !self.aside.is_empty()
            || self.full_at().is_some_and(|when| when.elapsed() < UNCERTAIN)
    }

    fn full_at(&self) -> Option<Instant> {
        *self.was_full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_full(&self) {
        *self.was_full.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Per chat, the place behind which nobody knows what has arrived.
    pub fn uncertain(&mut self) -> Vec<(ChatId, Seq)> {
        let mut left: Vec<Item> = self.aside.drain(..).collect();
        left.extend(std::iter::from_fn(|| self.items.try_recv().ok()));
        for item in left {
            if let Item::Told(delivery) = item
                && delivery.kind == Some(Kind::MessageSent)
                && let Topic::Chat(chat) = delivery.topic()
            {
                self.recent.wrote(chat, delivery.seq(), Instant::now());
            }
        }
        self.recent.places(Instant::now())
    }

    /// The same, for a client that said goodbye.
    pub fn under_way(&mut self) -> Vec<(ChatId, Seq)> {
        self.recent.under_way(Instant::now())
    }
}

fn is_behind(answer: &Answer, told: &Positions) -> bool {
    answer
        .behind
        .is_none_or(|(chat, seq)| told.get(&chat).is_none_or(|told| *told >= seq))
}

/// Where writing began in each chat, for the current stretch of time and the one before.
struct Recent {
    since: Instant,
    now: HashMap<ChatId, Seq>,
    before: HashMap<ChatId, Seq>,
    /// What was written in the last moment, message by message.
    latest: VecDeque<(Instant, ChatId, Seq)>,
}

impl Recent {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            now: HashMap::new(),
            before: HashMap::new(),
            latest: VecDeque::new(),
        }
    }

    fn wrote(&mut self, chat: ChatId, seq: Seq, now: Instant) {
        let age = now - self.since;
        if age > UNCERTAIN {
            let latest = std::mem::take(&mut self.now);
            self.before = if age > 2 * UNCERTAIN {
                HashMap::new()
            } else {
                latest
            };
            self.since = now;
        }
        self.now.entry(chat).or_insert(seq - 1);
        while self
            .latest
            .front()
            .is_some_and(|(when, ..)| now - *when > UNDER_WAY)
        {
            self.latest.pop_front();
        }
        self.latest.push_back((now, chat, seq));
    }

    fn under_way(&mut self, now: Instant) -> Vec<(ChatId, Seq)> {
        let mut places = HashMap::new();
        for (when, chat, seq) in self.latest.drain(..) {
            if now - when <= UNDER_WAY {
                places.entry(chat).or_insert(seq - 1);
            }
        }
        places.into_iter().collect()
    }

    fn places(&mut self, now: Instant) -> Vec<(ChatId, Seq)> {
        if now - self.since > 2 * UNCERTAIN {
            return Vec::new();
        }
        let mut places = std::mem::take(&mut self.now);
        for (chat, seq) in self.before.drain() {
            let place = places.entry(chat).or_insert(seq);
            *place = seq.min(*place);
        }
        places.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_lately_is_uncertain() {
        let (a, b) = (ChatId::new(), ChatId::new());
        let start = Instant::now();
        let mut recent = Recent::new(start);
        recent.wrote(a, 5, start);
        recent.wrote(a, 6, start);
        assert_eq!(recent.places(start), [(a, 4)]);
        recent.wrote(a, 7, start);
        let later = start + UNCERTAIN + Duration::from_secs(1);
        recent.wrote(a, 8, later);
        recent.wrote(b, 3, later);
        let mut places = recent.places(later);
        places.sort_unstable();
        assert_eq!(places, [(a, 6), (b, 2)]);
        recent.wrote(a, 9, later);
        recent.wrote(a, 10, later + UNDER_WAY * 2);
        assert_eq!(
            recent.under_way(later + UNDER_WAY * 2),
            [(a, 9)],
            "only the last moment"
        );
        assert_eq!(recent.places(later + UNCERTAIN * 3), []);
    }
}
