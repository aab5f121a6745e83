//! Who listens to what on this replica, and how far each topic has been told. Pure bookkeeping: no I/O, no waiting.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use shared::{
    UserId,
    topic::{Seq, Topic},
};

use super::{
    ConnectionId, Delivery, Listener,
    ears::{Ear, Ears},
    membership::{self, Change},
};

#[derive(Debug, Default)]
pub(super) struct Interest {
    channels: HashMap<Topic, Channel>,
    connections: HashMap<ConnectionId, (Arc<Listener>, HashSet<Topic>)>,
    people: HashMap<UserId, HashSet<ConnectionId>>,
}

/// A topic that somebody here listens to.
#[derive(Debug, Default)]
struct Channel {
    /// Told up to here. Unknown until the database has been asked.
    last: Option<Seq>,
    listeners: Ears,
    /// What came too early: something before it is missing.
    parked: BTreeMap<Seq, Arc<Delivery>>,
    /// Somebody looks for it.
    is_looked_for: bool,
}

/// What became of an event that came in.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Something before it is missing, and nobody looks for it yet.
    pub has_gap: bool,
    /// How many events were told: this one, and those that waited for it.
    pub told: u64,
    /// What follows from them.
    pub changes: Vec<Change>,
    /// Nobody listens to the topic any more.
    pub is_deserted: bool,
}

impl Interest {
    /// A new connection, which listens to nothing yet.
    pub(super) fn arrive(&mut self, listener: Listener) {
        self.people.entry(listener.user).or_default().insert(listener.id);
        self.connections
            .insert(listener.id, (Arc::new(listener), HashSet::new()));
    }

    /// The connection is gone. Says which topics nobody listens to any more.
    pub(super) fn depart(&mut self, id: ConnectionId) -> Vec<Topic> {
        let Some((listener, topics)) = self.connections.remove(&id) else {
            return Vec::new();
        };
        if let Some(others) = self.people.get_mut(&listener.user) {
            others.remove(&id);
            if others.is_empty() {
                self.people.remove(&listener.user);
            }
        }
        topics
            .into_iter()
            .filter(|topic| self.close_ear(*topic, id))
            .collect()
    }

    /// Whether the topic lost its last listener.
    fn close_ear(&mut self, topic: Topic, id: ConnectionId) -> bool {
        let Some(channel) = self.channels.get_mut(&topic) else {
            return false;
        };
        channel.listeners.remove(id);
        if channel.listeners.is_empty() {
            self.channels.remove(&topic);
            return true;
        }
        false
    }

    /// Listen to a topic from now on. What comes of a chat waits until it is released. Says whether this replica did not listen to it
    /// before.
    pub(super) fn listen(&mut self, id: ConnectionId, topic: Topic) -> bool {
        let Some((listener, topics)) = self.connections.get_mut(&id) else {
            return false;
        };
        if !topics.insert(topic) {
            return false;
        }
        let is_new = !self.channels.contains_key(&topic);
        let channel = self.channels.entry(topic).or_default();
        let ear = Ear {
            listener: listener.clone(),
            after: channel.last,
            // Whether somebody may hear of a chat is asked once they listen.
            held: matches!(topic, Topic::Chat(_)).then(Vec::new),
        };
        channel.listeners.insert(ear);
        is_new
    }

    /// Listen to a topic from a place that may be past already. Says whether this replica did not listen to it before, and
    /// whether the connection has to be told of something earlier before it hears what comes.
    pub(super) fn join(&mut self, id: ConnectionId, topic: Topic, from: Seq) -> Joined {
        let is_new = !self.channels.contains_key(&topic);
        let Some((listener, topics)) = self.connections.get_mut(&id) else {
            return Joined::default();
        };
        if !topics.insert(topic) {
            return Joined::default();
        }
        let channel = self.channels.entry(topic).or_default();
        if is_new {
            // Nobody here knows more: whatever came since is a gap, to be read from the log.
            channel.last = Some(from);
        }
        let is_behind = channel.last.is_none_or(|last| last > from);
        let ear = Ear {
            listener: listener.clone(),
            after: Some(from),
            held: is_behind.then(Vec::new),
        };
        channel.listeners.insert(ear);
        Joined { is_new, is_behind }
    }

    /// Do not listen any more. Says whether that leaves nobody.
    pub(super) fn leave(&mut self, id: ConnectionId, topic: Topic) -> bool {
        if let Some((_, topics)) = self.connections.get_mut(&id) {
            topics.remove(&topic);
        }
        self.close_ear(topic, id)
    }

    /// Everybody leaves.
    pub(super) fn end(&mut self, topic: Topic) {
        if let Some(channel) = self.channels.remove(&topic) {
            for ear in channel.listeners.iter() {
                if let Some((_, topics)) = self.connections.get_mut(&ear.listener.id) {
                    topics.remove(&topic);
                }
            }
        }
    }

    /// How many people have a connection here.
    pub(super) fn people(&self) -> usize {
        self.people.len()
    }

    pub(super) fn connections_of(&self, user: UserId) -> Vec<ConnectionId> {
        self.people
            .get(&user)
            .map(|ids| ids.iter().copied().collect())
            .unwrap_or_default()
    }

    /// Those of the topics whose place is not known yet.
    pub(super) fn unplaced(&self, topics: &[Topic]) -> Vec<Topic> {
        let unplaced = |topic: &&Topic| {
            self.channels
                .get(topic)
                .is_some_and(|channel| channel.last.is_none())
        };
        topics.iter().filter(unplaced).copied().collect()
    }

    /// The database knows the topic's place. What was heard while it was asked is told now.
    pub(super) fn place(&mut self, topic: Topic, last: Seq) -> Outcome {
        let Some(channel) = self.channels.get_mut(&topic) else {
            return Outcome::default();
        };
        if channel.last.is_none() {
            channel.last = Some(last);
            for ear in channel.listeners.iter_mut() {
                ear.after.get_or_insert(last);
            }
            channel.parked.retain(|seq, _| *seq > last);
        }
        self.tell_parked(topic)
    }

    /// From where on a connection hears a topic live.
    pub(super) fn hears_after(&self, id: ConnectionId, topic: Topic) -> Option<Seq> {
        self.channels.get(&topic)?.listeners.get(id)?.after
    }

    pub(super) fn listens(&self, topic: Topic) -> bool {
        self.channels.contains_key(&topic)
    }

    /// How far each topic has been told.
    pub(super) fn told(&self) -> Vec<(Topic, Seq)> {
        let told = self
            .channels
            .iter()
            .filter_map(|(topic, channel)| Some((*topic, channel.last?)));
        told.collect()
    }

    pub(super) fn told_up_to(&self, topic: Topic) -> Option<Seq> {
        self.channels.get(&topic)?.last
    }

    /// Is something still missing in the topic? If not, nobody looks for it any more.
    pub(super) fn has_gap_still(&mut self, topic: Topic) -> bool {
        self.channels.get_mut(&topic).is_some_and(|channel| {
            channel.is_looked_for = channel.has_gap();
            channel.is_looked_for
        })
    }

    /// An event came in.
    pub(super) fn accept(&mut self, delivery: Arc<Delivery>) -> Outcome {
        let topic = delivery.topic();
        let Some(channel) = self.channels.get_mut(&topic) else {
            return Outcome::default();
        };
        if delivery.is_passing() {
            channel.offer(&delivery);
            return Outcome {
                told: 1,
                ..Outcome::default()
            };
        }
        if channel.last.is_some_and(|last| delivery.seq() <= last) {
            return Outcome::default();
        }
        channel.parked.insert(delivery.seq(), delivery);
        self.tell_parked(topic)
    }

    /// Tell what is parked as far as nothing is missing.
    fn tell_parked(&mut self, topic: Topic) -> Outcome {
        let Some(channel) = self.channels.get_mut(&topic) else {
            return Outcome::default();
        };
        let (mut told, mut changes, mut gone) = (0, Vec::new(), Vec::new());
        while let Some(delivery) = channel.next_in_order() {
            let change = membership::change(&delivery);
            // Before it is told, or they would hear what comes right behind it.
            if let (Some(Change::Leaves { user, .. }), Topic::Chat(_)) = (change, topic) {
                gone.extend(channel.without(user, delivery.seq()));
            }
            channel.offer(&delivery);
            told += 1;
            changes.extend(change);
        }
        let has_gap = channel.has_gap() && !std::mem::replace(&mut channel.is_looked_for, true);
        let is_deserted = channel.listeners.is_empty();
        for id in gone {
            if let Some((_, topics)) = self.connections.get_mut(&id) {
                topics.remove(&topic);
            }
        }
        if is_deserted {
            self.channels.remove(&topic);
        }
        Outcome {
            has_gap,
            told,
            changes,
            is_deserted,
        }
    }

    /// A connection that was held is told of what lies up to `upto`; then it hears what came meanwhile. The log may have been read
    /// further than that: what lies behind it comes to everybody.
    pub(super) fn release(&mut self, id: ConnectionId, topic: Topic, earlier: &[Arc<Delivery>], upto: Seq) {
        let Some(ear) = self
            .channels
            .get_mut(&topic)
            .and_then(|channel| channel.listeners.get_mut(id))
        else {
            return;
        };
        for delivery in earlier.iter().filter(|delivery| delivery.seq() <= upto) {
            ear.listener.outlet.offer(delivery);
        }
        for delivery in ear.held.take().unwrap_or_default() {
            if delivery.is_passing() || delivery.seq() > upto {
                ear.listener.outlet.offer(&delivery);
            }
        }
    }
}

/// What joining a topic asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Joined {
    pub is_new: bool,
    pub is_behind: bool,
}

impl Channel {
    fn has_gap(&self) -> bool {
        self.last.is_some() && !self.parked.is_empty()
    }

    /// The next event in order, if it is here: it counts as told.
    fn next_in_order(&mut self) -> Option<Arc<Delivery>> {
        let last = self.last.as_mut()?;
        let next = self
            .parked
            .first_entry()
            .filter(|next| *next.key() == *last + 1)?;
        *last += 1;
        Some(next.remove())
    }

    /// Close the ears of a person who left at this place. Says which. Who joined again behind it stays.
    fn without(&mut self, user: UserId, place: Seq) -> Vec<ConnectionId> {
        let mut gone = Vec::new();
        self.listeners.retain(|ear| {
            let leaves = ear.listener.user == user && ear.after.is_none_or(|after| after < place);
            if leaves {
                gone.push(ear.listener.id);
            }
            !leaves
        });
        gone
    }

    fn offer(&mut self, delivery: &Arc<Delivery>) {
        for ear in self.listeners.iter_mut() {
            if !delivery.is_passing() && ear.after.is_none_or(|after| delivery.seq() <= after) {
                continue;
            }
            match &mut ear.held {
                Some(held) => held.push(delivery.clone()),
                None => ear.listener.outlet.offer(delivery),
            }
        }
    }
}

#[cfg(test)]
mod tests;
