//! The part of the hub that decides who is told, for `benches/hot_path.rs`: no bus, no log, no connections.

use std::sync::Arc;

use shared::{UserId, topic::Topic};
use uuid::Uuid;

use super::{ConnectionId, Delivery, Listener, Outlet, interest::Interest};

/// People who all listen to one topic.
#[derive(Debug)]
pub struct Audience(Interest);

impl Audience {
    /// Of so many, who have heard nothing yet.
    pub fn new(topic: Topic, size: u128, outlet: &Arc<dyn Outlet>) -> Self {
        let mut interest = Interest::default();
        for number in 0..size {
            let listener = Listener {
                id: ConnectionId::new(),
                user: UserId(Uuid::from_u128(number)),
                outlet: outlet.clone(),
            };
            let id = listener.id;
            interest.arrive(listener);
            interest.join(id, topic, 0);
        }
        Self(interest)
    }

    /// The next event of the topic comes in. Says how many events were told.
    pub fn accept(&mut self, delivery: Arc<Delivery>) -> u64 {
        self.0.accept(delivery).told
    }
}
