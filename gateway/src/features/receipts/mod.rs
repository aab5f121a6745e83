//! How far messages got: up to where each member of a chat has it, and up to where they have read it.
//!
//! Two positions for each member say it all; there is nothing for each message and reader. What authors are told of it is computed
//! under the lock of their topics, where everybody who tells them something comes by: the last thing they are told is what the
//! database says, however many people read at the same time.

pub mod arrivals;
pub mod mark_delivered;
pub mod mark_read;
mod rules;
mod store;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use shared::{
    ChatId, UserId,
    topic::{Seq, Topic},
};

pub use self::arrivals::Arrivals;
use crate::{
    db::{Place, Tx},
    error::Result,
};

/// So many messages of a chat are told one by one, the newest. Whoever comes back to thousands after a year moves their position,
/// but their friends' devices need not hear of each: the ticks of older messages come with the next page that is read.
const TOLD: i64 = 500;
/// So many messages are told in one event at most.
const IN_ONE_EVENT: usize = 100;

/// Somebody has a chat up to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub chat: ChatId,
    pub user: UserId,
    pub upto: Seq,
}

/// Places in the topics of people, as many for each as it takes to tell them so much.
async fn places_for<T>(
    tx: &mut Tx,
    told: BTreeMap<UserId, Vec<T>>,
    now: DateTime<Utc>,
) -> Result<Vec<(Place, Vec<T>)>> {
    let mut topics = Vec::new();
    let mut parts = Vec::new();
    for (user, all) in told {
        let mut all = all.into_iter().peekable();
        while all.peek().is_some() {
            topics.push(Topic::User(user));
            parts.push(all.by_ref().take(IN_ONE_EVENT).collect());
        }
    }
    let places = tx.next_places(&topics, now).await?;
    Ok(places.into_iter().zip(parts).collect())
}
