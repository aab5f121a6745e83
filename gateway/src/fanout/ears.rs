//! Those who listen to one topic, in the order in which they connected.
//!
//! Nearly all topics have one listener, and the large ones are gone through from end to end for each event: a sorted list takes a
//! fifth of a map's room for the former, and less time for the latter.

use std::sync::Arc;

use shared::topic::Seq;

use super::{ConnectionId, Delivery, Listener};

#[derive(Debug)]
pub(super) struct Ear {
    pub listener: Arc<Listener>,
    /// Hears what comes after this. Unknown as long as the topic's place is.
    pub after: Option<Seq>,
    /// Still has to be told of something earlier: what comes meanwhile waits here.
    pub held: Option<Vec<Arc<Delivery>>>,
}

#[derive(Debug, Default)]
pub(super) struct Ears(Vec<Ear>);

impl Ears {
    pub fn insert(&mut self, ear: Ear) {
        match self.place(ear.listener.id) {
            Ok(place) => self.0[place] = ear,
            Err(place) => {
                if self.0.is_empty() {
                    // Lists begin with room for four otherwise.
                    self.0.reserve_exact(1);
                }
                self.0.insert(place, ear);
            }
        }
    }

    pub fn remove(&mut self, id: ConnectionId) {
        if let Ok(place) = self.place(id) {
            self.0.remove(place);
        }
    }

    pub fn get(&self, id: ConnectionId) -> Option<&Ear> {
        self.place(id).ok().map(|place| &self.0[place])
    }

    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Ear> {
        self.place(id).ok().map(|place| &mut self.0[place])
    }

    pub fn iter(&self) -> impl Iterator<Item = &Ear> {
        self.0.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Ear> {
        self.0.iter_mut()
    }

    pub fn retain(&mut self, is_wanted: impl FnMut(&Ear) -> bool) {
        self.0.retain(is_wanted);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where this connection is, or should be.
    fn place(&self, id: ConnectionId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |ear| ear.listener.id)
    }
}
