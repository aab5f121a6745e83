//! Conversations and who takes part in them.

pub mod list;
mod rules;
pub mod start;
mod store;

use shared::{ChatId, UserId, problem::Reason};

pub use self::{
    start::ensure_direct,
    store::{Place, note_message},
};
use crate::{
    db::Tx,
    error::{Error, Result},
};

/// The place of `user` in a chat that they are in. Who has left it is told so; for strangers there is no such chat.
pub async fn member_place(tx: &mut Tx, user: UserId, chat: ChatId) -> Result<Place> {
    let place = store::place_of(tx, user, chat)
        .await?
        .ok_or(Error::NotFound("chat"))?;
    if place.is_member {
        Ok(place)
    } else {
        Err(Error::Forbidden(Reason::ChatLeft))
    }
}
