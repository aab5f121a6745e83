//! Which events change who listens to what. Said here and nowhere else.

use serde::Deserialize;
use shared::{
    ChatId, UserId,
    chat::{ChatGone, MemberLeft},
    event::Kind,
    topic::{Seq, Topic},
};

use super::Delivery;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// This person listens to the chat from this place on.
    Joins { user: UserId, chat: ChatId, from: Seq },
    /// This person does not listen to the chat any more. They do not hear of it there, either.
    Leaves { user: UserId, chat: ChatId },
    /// Nobody listens any more, once this has been told.
    Ends { chat: ChatId },
}

/// What of a chat that somebody is in now matters here.
#[derive(Deserialize)]
struct Started {
    id: ChatId,
    position: Seq,
}

pub(super) fn change(delivery: &Delivery) -> Option<Change> {
    match (delivery.kind?, delivery.topic()) {
        (Kind::ChatStarted, Topic::User(user)) => {
            let chat: Started = delivery.read()?;
            Some(Change::Joins {
                user,
                chat: chat.id,
                from: chat.position,
            })
        }
        // Told to the chat, too, and sometimes before the person is told.
        (Kind::MemberJoined, Topic::Chat(chat)) => Some(Change::Joins {
            user: delivery.read::<Whom>()?.user_id,
            chat,
            from: delivery.seq() - 1,
        }),
        (Kind::MemberLeft, _) => {
            let left: MemberLeft = delivery.read()?;
            Some(Change::Leaves {
                user: left.user_id,
                chat: left.chat_id,
            })
        }
        (Kind::ChatDeleted, Topic::Chat(chat)) => Some(Change::Ends { chat }),
        (Kind::ChatDeleted, Topic::User(user)) => {
            let gone: ChatGone = delivery.read()?;
            Some(Change::Leaves {
                user,
                chat: gone.chat_id,
            })
        }
        _ => None,
    }
}

/// Whom a change of members is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whom {
    user_id: UserId,
}

/// Whether a person is in the chat after this event, if it says something about them.
pub(super) fn of(delivery: &Delivery, user: UserId) -> Option<bool> {
    let is_there = match delivery.kind? {
        Kind::MemberJoined => true,
        Kind::MemberLeft => false,
        _ => return None,
    };
    (delivery.read::<Whom>()?.user_id == user).then_some(is_there)
}
