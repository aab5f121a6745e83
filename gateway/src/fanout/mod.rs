//! The hub: tells every live connection of this replica what it may hear.
//!
//! What a connection can rely on: the events of a topic come *in order and without holes*, from the place that attaching told it,
//! each once. Passing events (typing, presence) come at most once and in no particular order. A connection that is too slow is
//! closed rather than told with holes.
//!
//! Events come from the bus, which may lose some: a hole is filled from the log before anything behind it is told.

#[doc(hidden)]
pub mod bench;
mod delivery;
mod ears;
mod gaps;
mod interest;
mod membership;
mod outlet;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::{
    UserId,
    topic::{Seq, Topic},
};
use tokio::sync::mpsc;

pub use self::{
    delivery::Delivery,
    outlet::{ConnectionId, Listener, Outlet},
};
use self::{
    gaps::Gaps,
    interest::{Interest, Outcome},
    membership::Change,
};
use crate::{
    bus::{Bus, Envelope, Heard},
    db::{Db, log},
    error::Result,
    lifecycle::Tasks,
    telemetry::metrics::Metrics,
};

#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bus: Bus,
    db: Db,
    tasks: Tasks,
    metrics: Arc<Metrics>,
    interest: Mutex<Interest>,
    gaps: Gaps,
}

impl Hub {
    pub fn new(bus: Bus, db: Db, tasks: Tasks, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner {
            bus,
            db,
            tasks,
            metrics,
            interest: Mutex::default(),
            gaps: Gaps::default(),
        }))
    }

    /// Tell what is heard, for ever.
    pub async fn run(self, mut heard: mpsc::UnboundedReceiver<Heard>) {
        while let Some(heard) = heard.recv().await {
            match heard {
                Heard::Told(envelope) => self.accept(envelope),
                Heard::LinkDown => self.0.gaps.link_is(false),
                Heard::LinkUp => self.0.gaps.link_is(true),
                Heard::LookItUp => self.0.gaps.look(),
            }
        }
    }

    /// A connection that listens to nothing yet, until the answer is dropped.
    pub fn attach(&self, listener: Listener) -> Attachment {
        let id = listener.id;
        let mut interest = self.interest();
        interest.arrive(listener);
        self.count_people(&interest);
        drop(interest);
        Attachment {
            hub: self.clone(),
            id,
        }
    }

    fn accept(&self, envelope: Arc<Envelope>) {
        if !self.interest().listens(envelope.topic) {
            return;
        }
        let Some(delivery) = Delivery::new(envelope) else {
            self.0.metrics.bus_garbage.inc();
            return;
        };
        let delivery = delivery.traced(self.0.bus.traces());
        let (topic, delivery) = (delivery.topic(), Arc::new(delivery));
        let mut interest = self.interest();
        let outcome = interest.accept(delivery);
        self.conclude(&mut interest, topic, outcome);
    }

    /// What follows from having told something. Under the same lock: who joins and who leaves must not overtake each other, nor must
    /// wishes to listen and to cease.
    fn conclude(&self, interest: &mut Interest, topic: Topic, outcome: Outcome) {
        self.0.metrics.events_told.inc_by(outcome.told);
        if outcome.has_gap {
            self.fill_soon(topic);
        }
        if outcome.is_deserted {
            self.0.bus.cease(vec![topic]);
        }
        for change in outcome.changes {
            match change {
                Change::Joins { user, chat, from } => self.join(interest, user, Topic::Chat(chat), from),
                // In the chat itself, it was done before it was told.
                Change::Leaves { user, chat } if topic != Topic::Chat(chat) => {
                    self.leave(interest, user, Topic::Chat(chat));
                }
                Change::Leaves { .. } => {}
                Change::Ends { chat } => {
                    interest.end(Topic::Chat(chat));
                    self.0.bus.cease(vec![Topic::Chat(chat)]);
                }
            }
        }
    }

    /// All connections of a person listen to a topic from a place on, which may be past by now.
    fn join(&self, interest: &mut Interest, user: UserId, topic: Topic, from: Seq) {
        let (mut is_new, mut behind) = (false, Vec::new());
        for id in interest.connections_of(user) {
            let joined = interest.join(id, topic, from);
            is_new |= joined.is_new;
            behind.extend(joined.is_behind.then_some(id));
        }
        if is_new {
            let (hub, listening) = (self.clone(), self.0.bus.listen(vec![topic]));
            self.0.tasks.spawn("listen to a chat that began", async move {
                listening.await;
                hub.fill(topic).await;
            });
        }
        for id in behind {
            let hub = self.clone();
            self.0.tasks.spawn("tell what came since joining", async move {
                hub.tell_earlier(id, user, topic, from).await;
            });
        }
    }

    /// No connection of a person listens to a topic any more.
    fn leave(&self, interest: &mut Interest, user: UserId, topic: Topic) {
        for id in interest.connections_of(user) {
            self.cease(interest, id, topic);
        }
    }

    /// A connection does not listen to a topic any more.
    fn cease(&self, interest: &mut Interest, id: ConnectionId, topic: Topic) {
        if interest.leave(id, topic) {
            self.0.bus.cease(vec![topic]);
        }
    }

    fn count_people(&self, interest: &Interest) {
        let people = i64::try_from(interest.people()).unwrap_or(i64::MAX);
        self.0.metrics.people.set(people);
    }

    fn interest(&self) -> MutexGuard<'_, Interest> {
        self.0.interest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the hub. Dropping it ends all listening.
#[derive(Debug)]
pub struct Attachment {
    hub: Hub,
    id: ConnectionId,
}

impl Attachment {
    /// Listen to these topics. Says from which place on each is heard: what lies up to there has to be read elsewhere, what lies
    /// behind it comes by itself.
    pub async fn listen(&self, topics: &[Topic]) -> Result<HashMap<Topic, Seq>> {
        let hub = &self.hub;
        let (listening, unplaced) = {
            let mut interest = hub.interest();
            let new: Vec<Topic> = topics
                .iter()
                .copied()
                .filter(|topic| interest.listen(self.id, *topic))
                .collect();
            // Wished for under the lock, so that wishes to listen and to cease stay in order.
            let listening = (!new.is_empty()).then(|| hub.0.bus.listen(new));
            (listening, interest.unplaced(topics))
        };
        if let Some(listening) = listening {
            listening.await;
        }
        if !unplaced.is_empty() {
            // Whoever else waits for these places may be listened for already, but not we: so only now.
            for (topic, last) in log::newest(&hub.0.db, &unplaced).await? {
                let mut interest = hub.interest();
                let outcome = interest.place(topic, last);
                hub.conclude(&mut interest, topic, outcome);
                // Somebody else placed it before this replica was listened for.
                if interest.told_up_to(topic).is_some_and(|told| told < last) {
                    let hub = hub.clone();
                    self.hub
                        .0
                        .tasks
                        .spawn("read what nobody heard", async move { hub.fill(topic).await });
                }
            }
        }
        let interest = hub.interest();
        let heard = topics
            .iter()
            .filter_map(|topic| Some((*topic, interest.hears_after(self.id, *topic)?)));
        Ok(heard.collect())
    }

    /// Hear what came of a chat since it was listened to, and what comes.
    pub fn release(&self, topic: Topic, upto: Seq) {
        self.hub.interest().release(self.id, topic, &[], upto);
    }

    pub fn cease(&self, topic: Topic) {
        self.hub.cease(&mut self.hub.interest(), self.id, topic);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut interest = self.hub.interest();
        let deserted = interest.depart(self.id);
        self.hub.count_people(&interest);
        if !deserted.is_empty() {
            self.hub.0.bus.cease(deserted);
        }
    }
}
