//! Decisions about messages that need no database.

use chrono::{DateTime, Utc};
use shared::{UserId, message::ContentType, problem::Reason};

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

/// What people wrote, as HTML that shows it and does nothing else.
///
/// Every bracket is escaped; entities that were typed stay what they are, so `&lt;` never turns into a bracket.
pub(super) fn harmless(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '>', '&']) {
        let (before, special) = rest.split_at(at);
        html.push_str(before);
        let entity = entity_length(special);
        match special.as_bytes()[0] {
            b'<' => html.push_str("&lt;"),
            b'>' => html.push_str("&gt;"),
            _ if entity > 0 => html.push_str(&special[..entity]),
            _ => html.push_str("&amp;"),
        }
        rest = &special[entity.max(1)..];
    }
    html.push_str(rest);
    html
}

/// The length of the entity at the beginning of the text, or 0.
fn entity_length(text: &str) -> usize {
    let Some(body) = text.strip_prefix('&') else {
        return 0;
    };
    let Some(end) = body.bytes().take(32).position(|b| b == b';') else {
        return 0;
    };
    let name = &body.as_bytes()[..end];
    let is_entity = match name {
        [b'#', b'x' | b'X', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit),
        [b'#', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        [first, rest @ ..] => first.is_ascii_alphabetic() && rest.iter().all(u8::is_ascii_alphanumeric),
        [] => false,
    };
    if is_entity { end + 2 } else { 0 }
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

    #[test]
    fn nothing_becomes_markup() {
        for (typed, html) in [
            ("plain", "plain"),
            ("a < b & c", "a &lt; b &amp; c"),
            ("a &lt; b", "a &lt; b"),
            ("5 > 3 \"q\"", "5 &gt; 3 \"q\""),
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            ("<3 love", "&lt;3 love"),
            ("&lt;script&gt;", "&lt;script&gt;"),
            ("&#60;&#x3C; &# &; &x", "&#60;&#x3C; &amp;# &amp;; &amp;x"),
            ("ü&ü;ü", "ü&amp;ü;ü"),
        ] {
            assert_eq!(harmless(typed), html);
            assert_eq!(harmless(html), html, "doing it again changes nothing");
        }
    }
}
