//! Messages: sending them, reading what was sent, and what happens to them afterwards.

pub mod announce;
pub mod delete;
pub mod edit;
pub mod history;
pub mod react;
mod rules;
pub mod send;
mod store;

use shared::{ChatId, MessageId, chat::ChatType, problem::Reason};

pub use self::store::messages;
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Caller, chats, contacts},
};

/// What a deleted message says.
const DELETED: &str = "[Deleted]";
/// What a quote of a deleted message says.
const DELETED_QUOTE: &str = "[Message Deleted]";

/// The chat of a message, and the caller's place in it. Whoever is not in that chat does not learn that there is such a message.
async fn chat_of(tx: &mut Tx, caller: &Caller, message: MessageId) -> Result<(ChatId, chats::Place)> {
    let chat = store::chat_of(tx, message)
        .await?
        .ok_or(Error::NotFound("message"))?;
    match chats::member_place(tx, caller.user, chat).await {
        Ok(place) => Ok((chat, place)),
        Err(Error::NotFound(_)) => Err(Error::NotFound("message")),
        Err(error) => Err(error),
    }
}

/// May the caller say something here? In a direct chat only as long as the two are contacts, and it stays so until the end of the
/// transaction.
async fn may_speak(tx: &mut Tx, caller: &Caller, place: &chats::Place) -> Result<()> {
    if place.kind == ChatType::Direct {
        let partner = place
            .partner
            .ok_or_else(|| Error::internal("a direct chat with nobody"))?;
        if !contacts::are_contacts(tx, caller.user, partner).await? {
            return Err(Error::Forbidden(Reason::NotContacts));
        }
        if contacts::are_blocked(tx, caller.user, partner).await? {
            return Err(Error::Forbidden(Reason::Unreachable));
        }
    }
    Ok(())
}
