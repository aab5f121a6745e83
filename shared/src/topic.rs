//! What has a history of its own: a chat, or a person.

use uuid::Uuid;

use crate::{ChatId, UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Everything that members of the chat are told.
    Chat(ChatId),
    /// Everything that only this person is told.
    User(UserId),
}

impl Topic {
    pub fn id(self) -> Uuid {
        match self {
            Self::Chat(chat) => chat.0,
            Self::User(user) => user.0,
        }
    }
}

/// The place of an event in its topic, counted from 1.
pub type Seq = i64;
