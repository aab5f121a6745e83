//! A sender's own sockets hear of a message only when the answer to the request that sent it has been written: the client would
//! show the message twice otherwise (contract 3.9). Meanwhile the chat's whole queue waits behind it, so that order holds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use shared::{
    ChatId, SessionId,
    event::{AnswerFlushed, Kind},
    topic::{Seq, Topic},
};
use tokio::time::Instant;

use crate::fanout::Delivery;

/// The replica that writes the answer may be gone.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Holds {
    session: SessionId,
    queues: HashMap<ChatId, Queue>,
    /// What is told to the person, which may be about messages that wait.
    personal: Vec<Arc<Delivery>>,
    /// Answers have been written up to here.
    written: HashMap<ChatId, Seq>,
}

struct Queue {
    /// The first of these waits for its answer.
    waiting: Vec<Arc<Delivery>>,
    deadline: Instant,
}

impl Holds {
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            queues: HashMap::new(),
            personal: Vec::new(),
            written: HashMap::new(),
        }
    }

    /// May this be told at once, and nothing else changes by it? Nearly always.
    pub fn let_pass(&self, delivery: &Delivery) -> bool {
        self.queues.is_empty()
            && delivery.kind != Some(Kind::AnswerFlushed)
            && match delivery.topic() {
                Topic::Chat(chat) => !self.waits(chat, delivery),
                Topic::User(_) => true,
            }
    }

    /// What may be told now that this has come.
    pub fn pass(&mut self, delivery: Arc<Delivery>, now: Instant) -> Vec<Arc<Delivery>> {
        if delivery.kind == Some(Kind::AnswerFlushed) {
            return self.answered(&delivery, now);
        }
        match delivery.topic() {
            Topic::Chat(chat) => {
                if let Some(queue) = self.queues.get_mut(&chat) {
                    queue.waiting.push(delivery);
                    return Vec::new();
                }
                if self.waits(chat, &delivery) {
                    self.hold(chat, vec![delivery], now);
                    return Vec::new();
                }
            }
            Topic::User(_) if !self.queues.is_empty() => {
                self.personal.push(delivery);
                return Vec::new();
            }
            Topic::User(_) => {}
        }
        vec![delivery]
    }

    fn answered(&mut self, delivery: &Delivery, now: Instant) -> Vec<Arc<Delivery>> {
        let Some(flushed) = delivery.read::<AnswerFlushed>() else {
            return Vec::new();
        };
        if flushed.session_id != self.session {
            return Vec::new();
        }
        let written = self.written.entry(flushed.chat_id).or_default();
        *written = flushed.upto.max(*written);
        let mut free = Vec::new();
        self.free(flushed.chat_id, now, &mut free);
        self.free_personal(&mut free);
        free
    }

    fn waits(&self, chat: ChatId, delivery: &Delivery) -> bool {
        delivery.held_for() == Some(self.session)
            && self
                .written
                .get(&chat)
                .is_none_or(|written| *written < delivery.seq())
    }

    fn hold(&mut self, chat: ChatId, waiting: Vec<Arc<Delivery>>, now: Instant) {
        let deadline = now + PATIENCE;
        self.queues.insert(chat, Queue { waiting, deadline });
    }

    /// Let go of a chat's queue, up to the next message that waits for its own answer.
    fn free(&mut self, chat: ChatId, now: Instant, free: &mut Vec<Arc<Delivery>>) {
        let Some(queue) = self.queues.remove(&chat) else {
            return;
        };
        let mut waiting = queue.waiting.into_iter();
        while let Some(next) = waiting.next() {
            if self.waits(chat, &next) {
                self.hold(chat, std::iter::once(next).chain(waiting).collect(), now);
                return;
            }
            free.push(next);
        }
    }

    fn free_personal(&mut self, free: &mut Vec<Arc<Delivery>>) {
        if self.queues.is_empty() {
            free.append(&mut self.personal);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.queues.values().map(|queue| queue.deadline).min()
    }

    /// What has waited long enough.
    pub fn overdue(&mut self, now: Instant) -> Vec<Arc<Delivery>> {
        let overdue = self
            .queues
            .extract_if(|_, queue| queue.deadline <= now)
            .flat_map(|(_, queue)| queue.waiting);
        let mut free: Vec<_> = overdue.collect();
        self.free_personal(&mut free);
        free
    }
}

#[cfg(test)]
mod tests {
    use shared::UserId;

    use super::*;

    const PASSING: Seq = 0;
    const NONE: [Seq; 0] = [];

    #[test]
    fn a_chat_waits_behind_ones_own_message() {
        let (session, chat, other) = (SessionId::new(), ChatId::new(), ChatId::new());
        let me = UserId::new();
        let message = |chat, seq, held_for| {
            Delivery::sample(
                Topic::Chat(chat),
                seq,
                Kind::MessageSent,
                held_for,
                "{}".to_owned(),
            )
        };
        let flushed = |upto| {
            let body = serde_json::to_string(&AnswerFlushed {
                chat_id: chat,
                session_id: session,
                upto,
            });
            Delivery::sample(Topic::User(me), PASSING, Kind::AnswerFlushed, None, body.unwrap())
        };
        let seqs = |told: Vec<Arc<Delivery>>| told.iter().map(|d| d.seq()).collect::<Vec<_>>();
        let now = Instant::now();
        let mut holds = Holds::new(session);
        assert_eq!(seqs(holds.pass(message(chat, 1, None), now)), [1]);
        assert_eq!(seqs(holds.pass(message(chat, 2, Some(session)), now)), NONE);
        assert_eq!(seqs(holds.pass(message(chat, 3, None), now)), NONE, "behind it");
        assert_eq!(
            seqs(holds.pass(message(other, 1, None), now)),
            [1],
            "another chat"
        );
        assert_eq!(seqs(holds.pass(message(chat, 4, Some(session)), now)), NONE);
        let receipt = Delivery::sample(Topic::User(me), 9, Kind::MessagesRead, None, "[]".to_owned());
        assert_eq!(seqs(holds.pass(receipt, now)), NONE);
        assert_eq!(seqs(holds.pass(flushed(2), now)), [2, 3]);
        assert_eq!(seqs(holds.pass(flushed(4), now)), [4, 9]);
        assert_eq!(
            seqs(holds.pass(flushed(5), now)),
            NONE,
            "written before the event came"
        );
        assert_eq!(seqs(holds.pass(message(chat, 5, Some(session)), now)), [5]);
        assert_eq!(
            seqs(holds.pass(message(chat, 6, Some(SessionId::new())), now)),
            [6],
            "another log-in"
        );

        assert_eq!(seqs(holds.pass(message(chat, 7, Some(session)), now)), NONE);
        assert_eq!(seqs(holds.overdue(now)), NONE);
        assert_eq!(seqs(holds.overdue(now + PATIENCE)), [7]);
        assert_eq!(holds.deadline(), None);
    }
}
