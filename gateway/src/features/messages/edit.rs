//! Let one's message say something else. What it said before is kept, until the message is deleted.

use shared::{
    MessageId,
    event::Event,
    message::{EditMessage, Message, MessageEdited},
};

use super::{chat_of, may_speak, rules, store};
use crate::{
    error::Result,
    features::{Backend, Caller, chats, search},
    limits::Limited,
};

/// Whoever may not write to somebody any more may not do so by editing either. An edit that changes nothing is none.
pub async fn edit(backend: &Backend, caller: &Caller, id: MessageId, change: EditMessage) -> Result<Message> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let (chat, place) = chat_of(&mut tx, caller, id).await?;
    may_speak(&mut tx, caller, &place).await?;
    let before = store::hold(&mut tx, id).await?;
    rules::may_change(&before, caller.user)?;
    rules::is_there(&before)?;
    let content = rules::harmless(&change.content);
    if content == before.content {
        return store::message(&mut tx, &backend.settings, id).await;
    }
    let spot = chats::next_place(&mut tx, caller.user, chat, backend.clock.now()).await?;
    let search_text = search::folded(&rules::text_of(&content));
    store::edit(&mut tx, id, spot, &content, &search_text).await?;
    let edited = Event::MessageEdited(MessageEdited {
        id,
        message_id: id,
        chat_id: chat,
        content,
        is_edited: true,
        edited_at: spot.at,
    });
    tx.record_at(spot, &edited).await?;
    let message = store::message(&mut tx, &backend.settings, id).await?;
    tx.commit().await?;
    Ok(message)
}
