//! Send a message to a chat.

use shared::{
    ChatId,
    chat::ChatType,
    event::Event,
    message::{Message, SendMessage},
    problem::Reason,
    topic::Topic,
};

use super::{rules, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller, chats, contacts, search},
    limits::Limited,
};

/// What became of it.
#[derive(Debug)]
pub struct Sent {
    pub message: Message,
    /// It had been sent before, with the same key.
    pub is_replay: bool,
}

pub async fn send(backend: &Backend, caller: &Caller, chat: ChatId, ask: SendMessage) -> Result<Sent> {
    backend.limits.check(Limited::SendMessage, caller.user).await?;
    let mut tx = backend.begin().await?;
    let place = chats::member_place(&mut tx, caller.user, chat).await?;
    if place.kind == ChatType::Direct {
        let partner = place
            .partner
            .ok_or_else(|| Error::internal("a direct chat with nobody"))?;
        if !contacts::are_contacts(&mut tx, caller.user, partner).await? {
            return Err(Error::Forbidden(Reason::NotContacts));
        }
    }
    if let Some(original) = ask.reply_to_id
        && !store::is_in(&mut tx, original, chat).await?
    {
        return Err(Error::invalid("replyToId", "must be a message of this chat"));
    }
    let spot = tx.next_place(Topic::Chat(chat), backend.clock.now()).await?;
    let content = rules::harmless(&ask.content);
    let search_text = search::folded(&rules::text_of(&content));
    let Some(id) = store::insert(&mut tx, caller.user, chat, spot, &ask, &content, &search_text).await?
    else {
        // The key is taken. The place is given back with the transaction, and the first message is the answer.
        drop(tx);
        return replay(backend, caller, chat, &ask).await;
    };
    chats::note_message(&mut tx, chat, spot.at).await?;
    let message = store::message(&mut tx, &backend.settings, id).await?;
    tx.record_at(spot, &Event::MessageSent(message.clone())).await?;
    tx.commit().await?;
    Ok(Sent {
        message,
        is_replay: false,
    })
}

async fn replay(backend: &Backend, caller: &Caller, chat: ChatId, ask: &SendMessage) -> Result<Sent> {
    let key = ask
        .client_message_id
        .as_ref()
        .ok_or_else(|| Error::internal("a conflict without a key"))?;
    let mut tx = backend.begin().await?;
    let first = store::by_client_key(&mut tx, caller.user, key).await?;
    match first {
        Some((id, of_chat)) if of_chat == chat => Ok(Sent {
            message: store::message(&mut tx, &backend.settings, id).await?,
            is_replay: true,
        }),
        Some(_) => Err(Error::Conflict(Reason::ClientKeyReused)),
        None => Err(Error::unavailable(
            "the message with this key was undone meanwhile",
        )),
    }
}
