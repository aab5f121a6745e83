//! What was written to a socket lately: nobody knows whether it has arrived.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use shared::{ChatId, topic::Seq};
use tokio::time::Instant;

/// A broken connection shows by now: what was written longer ago has arrived.
pub const UNCERTAIN: Duration = Duration::from_secs(60);
/// A client that says goodbye, or closes its connection, ignores what is under way to it at that moment. Less than
/// `arrivals::MOMENT`: what its author was told to have arrived is not told again.
const UNDER_WAY: Duration = Duration::from_millis(40);

/// Where writing began in each chat, for the current stretch of time and the one before.
pub struct Recent {
    since: Instant,
    now: HashMap<ChatId, Seq>,
    before: HashMap<ChatId, Seq>,
    /// What was written in the last moment, message by message.
    latest: VecDeque<(Instant, ChatId, Seq)>,
}

impl Recent {
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            now: HashMap::new(),
            before: HashMap::new(),
            latest: VecDeque::new(),
        }
    }

    pub fn wrote(&mut self, chat: ChatId, seq: Seq, now: Instant) {
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

    /// Per chat, the place behind which something may have been under way a moment ago.
    pub fn under_way(&self, now: Instant) -> HashMap<ChatId, Seq> {
        let mut places = HashMap::new();
        for (when, chat, seq) in &self.latest {
            if now - *when <= UNDER_WAY {
                places.entry(*chat).or_insert(seq - 1);
            }
        }
        places
    }

    /// The chats of which something was written.
    pub fn chats(&self) -> impl Iterator<Item = ChatId> {
        let before = self.before.keys().filter(|chat| !self.now.contains_key(chat));
        self.now.keys().chain(before).copied()
    }

    /// Per chat, the place behind which nobody knows what has arrived.
    pub fn places(&mut self, now: Instant) -> Vec<(ChatId, Seq)> {
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
        let now = later + UNDER_WAY * 2;
        assert_eq!(
            recent.under_way(now),
            HashMap::from([(a, 9)]),
            "only the last moment"
        );
        assert_eq!(recent.places(later + UNCERTAIN * 3), []);
    }
}
