//! Writes to one socket what it has to be told, in order: what was missed (`missed.rs`), then what happens.

mod missed;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    ChatId,
    event::Kind,
    topic::{Seq, Topic},
};
use tokio::time::Instant;

use super::{
    Door,
    answer::Answer,
    hold::Holds,
    incoming::Ack,
    mailbox::Mailbox,
    names,
    outlet::{Ending, Item},
    pen::Pen,
    recent::{Recent, UNCERTAIN},
};
use crate::{
    doors::session::{Past, Positions},
    error::Error,
    fanout::Delivery,
    features::Caller,
    telemetry::metrics::seconds_between,
};

/// What is worked off before it is written out.
const AT_ONCE: usize = 128;
/// What is kept for what happens next.
const KEPT: usize = 4;
/// An answer waits so long for the event that it must not overtake.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Writer {
    door: Arc<Door>,
    caller: Caller,
    mailbox: Arc<Mailbox>,
    ending: Ending,
    /// Each chat has been told up to here.
    told: Positions,
    /// When this connection began, and where it began to hear each chat.
    began: DateTime<Utc>,
    opened_at: Positions,
    /// What happened while something earlier was being told.
    aside: VecDeque<Item>,
    holds: Holds,
    /// Answers that must not overtake an event.
    waiting: Vec<(Answer, Option<Ack>, Instant)>,
    recent: Recent,
    pen: Pen,
    /// When the first event that is not written out yet was told to us.
    oldest: Option<DateTime<Utc>>,
    /// Somebody waits for something that is not written out yet.
    is_urgent: bool,
    /// What is not written out yet may wait so long for more.
    gathers_until: Option<Instant>,
    /// What was told since it was last written out: each chat from here to there.
    arrived: Vec<(ChatId, Seq, Seq)>,
}

/// Why nothing more can be written.
pub enum Ended {
    /// The socket takes nothing any more.
    Gone,
    /// What has to be told cannot be read.
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Writer {
    pub fn new(
        door: Arc<Door>,
        caller: Caller,
        began: DateTime<Utc>,
        pen: Pen,
        mailbox: Arc<Mailbox>,
        ending: Ending,
    ) -> Self {
        Self {
            began,
            door,
            caller,
            mailbox,
            ending,
            told: Positions::new(),
            opened_at: Positions::new(),
            aside: VecDeque::new(),
            holds: Holds::new(caller.session),
            waiting: Vec::new(),
            recent: Recent::new(Instant::now()),
            pen,
            oldest: None,
            is_urgent: false,
            gathers_until: None,
            arrived: Vec::new(),
        }
    }

    /// Tell what was missed and then what happens, until the socket ends.
    pub async fn serve(&mut self, past: Past, wants_positions: bool) -> Ended {
        let ending = self.ending.clone();
        let told = tokio::select! {
            biased;
            () = ending.has_come() => return Ended::Gone,
            told = Box::pin(self.catch_up(past, wants_positions)) => told,
        };
        match told {
            Ok(()) => self.run().await,
            Err(ended) => ended,
        }
    }

    /// Write what comes, until the socket ends.
    async fn run(&mut self) -> Ended {
        loop {
            let Err(ended) = self.work_off().await else {
                continue;
            };
            return ended;
        }
    }

    /// Work off what is there and write it out, or wait for something.
    async fn work_off(&mut self) -> Result<(), Ended> {
        if self.aside.is_empty() {
            self.mailbox.empty_into(&mut self.aside);
        }
        for _ in 0..AT_ONCE {
            let Some(item) = self.aside.pop_front() else { break };
            if let Some(broke) = self.take(item) {
                Box::pin(self.make_up_for(&broke)).await?;
            }
            if self.pen.is_full() {
                break;
            }
        }
        if self.aside.is_empty()
            && !self.is_urgent
            && let Some(until) = self.gathers_until
        {
            tokio::select! {
                biased;
                () = self.ending.has_come() => {
                    // As far as it is taken at once.
                    let _ = self.flush().await;
                    return Err(Ended::Gone);
                }
                () = self.mailbox.is_urgent() => {}
                () = tokio::time::sleep_until(until) => self.is_urgent = true,
            }
            return Ok(());
        }
        self.flush().await?;
        if !self.aside.is_empty() {
            return Ok(());
        }
        // Most have nothing to hear most of the time.
        self.aside.shrink_to(KEPT);
        let wake_up = self.next_deadline();
        tokio::select! {
            biased;
            () = self.ending.has_come() => return Err(Ended::Gone),
            () = self.mailbox.has_some() => {}
            () = tokio::time::sleep_until(wake_up.unwrap_or_else(Instant::now)), if wake_up.is_some() => {
                self.time_is_up();
            }
        }
        Ok(())
    }

    /// Write it down, or have it wait for something. Gives back what cannot be dealt with at once: news of a connection that broke.
    fn take(&mut self, item: Item) -> Option<Arc<Delivery>> {
        match item {
            Item::Told(delivery) if delivery.kind == Some(Kind::LineBroke) => return Some(delivery),
            Item::Told(delivery) => self.hear(delivery),
            Item::Answer(answer) => self.answer(answer.0, answer.1),
            Item::Frame(frame) => {
                self.is_urgent = true;
                self.pen.frame(&frame);
            }
        }
        None
    }

    fn hear(&mut self, delivery: Arc<Delivery>) {
        let now = Instant::now();
        if self.holds.let_pass(&delivery) {
            return self.tell(&delivery, now);
        }
        for delivery in self.holds.pass(delivery, now) {
            self.tell(&delivery, now);
        }
    }

    fn tell(&mut self, delivery: &Delivery, now: Instant) {
        if self.oldest.is_none() {
            self.oldest = Some(delivery.at());
            let late = now.saturating_duration_since(delivery.came());
            self.gathers_until = self.door.pace.gathers_for(late).map(|pause| now + pause);
        }
        self.write_down(delivery);
        let chat = match delivery.topic() {
            Topic::Chat(chat) if !delivery.is_passing() => chat,
            _ => return,
        };
        let seq = delivery.seq();
        self.told.insert(chat, seq);
        if delivery.kind == Some(Kind::MessageSent) {
            match self.arrived.iter_mut().find(|(of, ..)| *of == chat) {
                Some((.., upto)) => *upto = seq,
                None => self.arrived.push((chat, seq, seq)),
            }
        }
        if self.waiting.is_empty() {
            return;
        }
        let told = &self.told;
        let due = self
            .waiting
            .extract_if(.., |(answer, ..)| is_behind(answer, told));
        for (answer, ack, _) in due.collect::<Vec<_>>() {
            self.say(answer, ack);
        }
    }

    fn write_down(&mut self, delivery: &Delivery) {
        if let Some(name) = names::for_all(delivery) {
            return self.pen.told_to_all(name, delivery);
        }
        for (name, json) in names::told(delivery, self.caller.user) {
            self.pen.told(name, json);
        }
    }

    /// Write out what was gathered, and say what has arrived by that.
    pub async fn flush(&mut self) -> Result<(), Ended> {
        self.stamp();
        self.pen.flush().await?;
        self.is_urgent = false;
        self.gathers_until = None;
        if let Some(at) = self.oldest.take() {
            let late = seconds_between(at, self.door.live.backend.clock.now());
            self.door.live.backend.metrics.delivery_seconds.observe(late);
        }
        for (chat, _, upto) in self.arrived.drain(..) {
            self.door.live.backend.arrivals.note(chat, self.caller.user, upto);
        }
        Ok(())
    }

    /// What was told is under way from now on.
    fn stamp(&mut self) {
        let now = Instant::now();
        for (chat, first, _) in &self.arrived {
            self.recent.wrote(*chat, *first, now);
        }
    }

    /// Say something behind which nothing follows.
    pub async fn say_last(
        &mut self,
        name: &'static str,
        said: &(impl Serialize + Sync),
    ) -> Result<(), Ended> {
        self.pen.event(name, said)?;
        self.flush().await
    }

    pub fn into_pen(self) -> Pen {
        self.pen
    }

    fn answer(&mut self, answer: Answer, ack: Option<Ack>) {
        if is_behind(&answer, &self.told) {
            return self.say(answer, ack);
        }
        self.waiting.push((answer, ack, Instant::now() + PATIENCE));
    }

    fn say(&mut self, answer: Answer, ack: Option<Ack>) {
        self.is_urgent = true;
        if let Some((name, said)) = &answer.event {
            self.pen.told(name, said);
        }
        if let Some(ack) = ack {
            self.pen.ack(ack, answer.ack);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|(.., deadline)| *deadline);
        waiting.chain(self.holds.deadline()).min()
    }

    /// Whatever was waited for does not come: go on without it.
    fn time_is_up(&mut self) {
        let now = Instant::now();
        for delivery in self.holds.overdue(now) {
            self.tell(&delivery, now);
        }
        let due = self.waiting.extract_if(.., |(.., deadline)| *deadline <= now);
        for (answer, ack, _) in due.collect::<Vec<_>>() {
            self.say(answer, ack);
        }
    }

    /// Did the client read more slowly than we wrote, a moment ago? Then some of it may still be on its way.
    pub fn is_behind(&self) -> bool {
        self.mailbox.has_news()
            || !self.aside.is_empty()
            || self.pen.is_behind()
            || self.pen.was_full.is_some_and(|when| when.elapsed() < UNCERTAIN)
    }

    /// Per chat, the place behind which nobody knows what has arrived.
    pub fn uncertain(&mut self) -> Vec<(ChatId, Seq)> {
        self.stamp();
        self.mailbox.empty_into(&mut self.aside);
        for item in self.aside.drain(..) {
            if let Item::Told(delivery) = item
                && delivery.kind == Some(Kind::MessageSent)
                && let Topic::Chat(chat) = delivery.topic()
            {
                self.recent.wrote(chat, delivery.seq(), Instant::now());
            }
        }
        self.recent.places(Instant::now())
    }

    /// Per chat, the place up to which it was told lately. What was under way to a client that left by itself is left out.
    pub fn told_lately(&self) -> Vec<(ChatId, Seq)> {
        let under_way = match self.ending.why() {
            None => self.recent.under_way(Instant::now()),
            Some(_) => HashMap::new(),
        };
        let told = self.recent.chats().filter_map(|chat| {
            let told = *self.told.get(&chat)?;
            Some((chat, under_way.get(&chat).map_or(told, |place| told.min(*place))))
        });
        told.collect()
    }

    /// Per chat, the place behind which something was under way when the client said goodbye.
    pub fn under_way(&self) -> Vec<(ChatId, Seq)> {
        self.recent.under_way(Instant::now()).into_iter().collect()
    }
}

fn is_behind(answer: &Answer, told: &Positions) -> bool {
    answer
        .behind
        .is_none_or(|(chat, seq)| told.get(&chat).is_none_or(|told| *told >= seq))
}
