//! Read messages. Whoever reads one has read everything before it in the chat, and of course has it.

use std::collections::BTreeMap;

use shared::{
    ChatId, MessageId,
    event::Event,
    problem::Reason,
    receipt::{ChatRead, MessageRead},
    topic::{Seq, Topic},
};

use super::{TOLD, places_for, rules, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller},
};

/// Those that the caller may not see do not keep the others from being read; if there are only such, the caller is told so. One's
/// own messages are never read by oneself.
pub async fn messages(backend: &Backend, caller: &Caller, ids: &[MessageId]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let goals = store::goals(&backend.db, caller.user, ids).await?;
    if goals.is_empty() {
        return Err(Error::NotFound("message"));
    }
    if !goals.iter().any(|goal| goal.is_member) {
        return Err(Error::Forbidden(Reason::ChatLeft));
    }
    for goal in goals.iter().filter(|goal| goal.is_member) {
        if let Some(upto) = goal.upto {
            read(backend, caller, goal.chat, upto).await?;
        }
    }
    Ok(())
}

/// Everything in a chat, as of now.
pub async fn chat(backend: &Backend, caller: &Caller, chat: ChatId) -> Result<()> {
    let goal = store::end_of_chat(&backend.db, caller.user, chat)
        .await?
        .ok_or(Error::NotFound("chat"))?;
    if !goal.is_member {
        return Err(Error::Forbidden(Reason::ChatLeft));
    }
    match goal.upto {
        Some(upto) => read(backend, caller, chat, upto).await,
        None => Ok(()),
    }
}

/// Something was found that is new to the caller. Their authors are told of the newest [`TOLD`], the caller's devices of how far
/// the chat is read now.
async fn read(backend: &Backend, caller: &Caller, chat: ChatId, upto: Seq) -> Result<()> {
    let now = backend.clock.now();
    let mut tx = backend.begin().await?;
    let Some(from) = store::advance_read(&mut tx, chat, caller.user, upto).await? else {
        // Another device was faster, or somebody has removed the caller.
        return Ok(());
    };
    let news = store::told_of_reading(&mut tx, chat, caller.user, from, upto, TOLD).await?;
    let mut told = BTreeMap::<_, Vec<_>>::from([(caller.user, vec![None])]);
    for message in news {
        told.entry(message.author).or_default().push(Some(message));
    }
    let places = places_for(&mut tx, told, now).await?;
    // From here on, nobody else tells these authors anything.
    let members = store::positions(&mut tx, &[chat]).await?;
    let mut events = Vec::with_capacity(places.len());
    for (place, messages) in places {
        let event = if place.topic == Topic::User(caller.user) {
            Event::ChatRead(ChatRead {
                chat_id: chat,
                user_id: caller.user,
                upto,
                unread_count: store::unread(&mut tx, chat, caller.user).await?,
                read_at: now,
            })
        } else {
            let read = messages.into_iter().flatten().map(|message| MessageRead {
                message_id: message.id,
                chat_id: chat,
                read_by: caller.user,
                user_id: caller.user,
                read_at: now,
                read_count: rules::read_count(&members, message.author, message.seq),
            });
            Event::MessagesRead(read.collect())
        };
        events.push((place, event));
    }
    tx.record_all(&events).await?;
    tx.commit().await
}
