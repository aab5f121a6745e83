//! Decisions about messages that need no database.

mod images;
#[cfg(test)]
mod properties;
mod sanitise;

use chrono::{DateTime, Utc};
use shared::{UserId, message::ContentType, problem::Reason};

pub(super) use self::{
    images::{images_named, with_images},
    sanitise::{harmless, text_of},
};
use super::store::{Held, Reacted};
use crate::error::{Error, Result};

/// So many different emojis may one person put on one message. Everybody who reads the message gets them all.
const REACTIONS_MAX: usize = 20;

/// Messages belong to whoever sent them; what the system says belongs to nobody.
pub(super) fn may_change(message: &Held, user: UserId) -> Result<()> {
    if message.sender == Some(user) {
        Ok(())
    } else {
        Err(Error::Forbidden(Reason::NotSender))
    }
}

pub(super) fn is_there(message: &Held) -> Result<()> {
    if message.is_deleted {
        Err(Error::Conflict(Reason::MessageDeleted))
    } else {
        Ok(())
    }
}

pub(super) fn may_be_reacted_to(message: &Held) -> Result<()> {
    if message.content_type == ContentType::System {
        return Err(Error::Conflict(Reason::SystemMessage));
    }
    is_there(message)
}

/// May somebody who put these on a message add another one?
pub(super) fn may_react_again(mine: &[Reacted]) -> Result<()> {
    if mine.len() < REACTIONS_MAX {
        Ok(())
    } else {
        Err(Error::Conflict(Reason::TooManyReactions))
    }
}

/// The reaction that somebody means who knows only about when they were told of it. If there is only one, it is that one.
pub(super) fn nearest(mine: Vec<Reacted>, time: DateTime<Utc>) -> Option<Reacted> {
    let distance = |reaction: &Reacted| (reaction.created_at - time).abs();
    mine.into_iter().min_by_key(distance)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use shared::{MessageId, ReactionId, samples};

    use super::*;

    #[test]
    fn the_nearest_reaction_is_meant() {
        let reaction = |emoji: &str, seconds| Reacted {
            id: ReactionId::new(),
            message_id: MessageId::new(),
            user_id: samples::alice().id,
            emoji: emoji.to_owned(),
            created_at: samples::noon() + TimeDelta::seconds(seconds),
        };
        let mine = vec![reaction("a", 0), reaction("b", 10), reaction("c", 60)];
        for (seconds, meant) in [
            (-100, "a"),
            (4, "a"),
            (6, "b"),
            (34, "b"),
            (36, "c"),
            (1_000, "c"),
        ] {
            let time = samples::noon() + TimeDelta::seconds(seconds);
            assert_eq!(nearest(mine.clone(), time).unwrap().emoji, meant);
        }
        assert_eq!(
            nearest(mine[..1].to_vec(), DateTime::UNIX_EPOCH).unwrap().emoji,
            "a"
        );
        assert!(nearest(Vec::new(), samples::noon()).is_none());
    }
}
