//! Conversations and who takes part in them.

pub mod add_members;
pub mod delete;
pub mod leave;
pub mod list;
pub mod picture;
pub mod remove_member;
pub mod rename;
mod rules;
pub mod start;
mod store;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use shared::{
    ChatId, UserId,
    chat::{ChatType, Role},
    problem::Reason,
    topic::Topic,
};
use uuid::Uuid;

use self::store::Known;

pub use self::{
    start::ensure_direct,
    store::{Place, note_message},
};
use crate::{
    db::{self, Tx},
    error::{Error, Result},
    features::contacts,
};

/// The place of `user` in a chat that they are in. Who has left it is told so; for strangers there is no such chat.
pub async fn member_place(tx: &mut Tx, user: UserId, chat: ChatId) -> Result<Place> {
    member(store::place_of(tx, user, chat).await?)
}

/// The place of somebody in a chat, if that is where they are now.
pub fn member(place: Option<Place>) -> Result<Place> {
    let place = place.ok_or(Error::NotFound("chat"))?;
    if place.is_member {
        Ok(place)
    } else {
        Err(Error::Forbidden(Reason::ChatLeft))
    }
}

/// A group, as somebody who is about to change it finds it. Until they are done, nobody else changes who is in it.
struct Group {
    /// What the caller is there.
    role: Role,
    /// Everybody who is or was in it.
    known: Vec<Known>,
}

impl Group {
    /// The group in which `user` is, when it is their turn to change it.
    async fn in_turn(tx: &mut Tx, user: UserId, chat: ChatId) -> Result<Self> {
        store::take_turn(tx, chat).await?;
        let everybody = store::everybody(tx, chat).await?;
        let (kind, caller) = everybody
            .iter()
            .find(|(_, known)| known.user == user)
            .ok_or(Error::NotFound("chat"))?;
        if !caller.is_member {
            return Err(Error::Forbidden(Reason::ChatLeft));
        }
        if *kind == ChatType::Direct {
            return Err(Error::Forbidden(Reason::OnlyInGroups));
        }
        Ok(Self {
            role: caller.role,
            known: everybody.into_iter().map(|(_, known)| known).collect(),
        })
    }

    fn members(&self) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(|known| known.is_member)
    }

    fn member(&self, user: UserId) -> Option<&Known> {
        self.members().find(|member| member.user == user)
    }
}

/// The people behind the entries of a list, each once: entries are people, or direct chats of `caller`'s with them. `field` names
/// the entry that is wrong.
async fn people_named(
    tx: &mut Tx,
    caller: UserId,
    entries: &[Uuid],
    field: impl Fn(usize) -> String,
) -> Result<Vec<UserId>> {
    let known: HashMap<_, _> = store::people_behind(tx, caller, entries)
        .await?
        .into_iter()
        .collect();
    let everybody: Vec<UserId> = known.values().copied().collect();
    let blocking = contacts::blocking(tx, caller, &everybody).await?;
    let mut seen = HashSet::new();
    let mut people = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let person = *known
            .get(entry)
            .ok_or_else(|| Error::invalid(field(index), "is nobody we know"))?;
        if blocking.contains(&person) {
            return Err(Error::invalid(field(index), "is somebody you cannot add"));
        }
        if seen.insert(person) {
            people.push(person);
        }
    }
    Ok(people)
}

/// The next place in a chat's order, for something that a member does. Whoever was removed before that moment gets none; whoever
/// is removed after it did this before.
pub async fn next_place(tx: &mut Tx, user: UserId, chat: ChatId, now: DateTime<Utc>) -> Result<db::Place> {
    let spot = tx.next_place(Topic::Chat(chat), now).await?;
    // Only behind the lock it is certain, and only a statement of its own sees what was committed while we waited for it.
    member_place(tx, user, chat).await?;
    Ok(spot)
}
