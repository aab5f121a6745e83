//! React to a message with an emoji, or with several, and take a reaction back.

use std::slice;

use shared::{
    ChatId, MessageId, ReactionId,
    contact::Person,
    event::Event,
    message::{Reaction, ReactionChanged, ReactionRef},
    problem::Reason,
    text::Emoji,
};

use super::{chat_of, may_speak, rules, store, store::Reacted};
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Backend, Caller, accounts, chats},
    limits::Limited,
};

/// The reaction, and whether it is new: the same emoji again is the same reaction.
pub async fn add(
    backend: &Backend,
    caller: &Caller,
    id: MessageId,
    emoji: Emoji,
) -> Result<(Reaction, bool)> {
    backend.limits.check(Limited::Reaction, caller.user).await?;
    let mut tx = backend.begin().await?;
    let (chat, place) = chat_of(&mut tx, caller, id).await?;
    may_speak(&mut tx, caller, &place).await?;
    let message = store::hold_shared(&mut tx, id).await?;
    rules::may_be_reacted_to(&message)?;
    // Reactions come and go under the lock of their chat's place; without a new one the place is given back.
    let spot = chats::next_place(&mut tx, caller.user, chat, backend.clock.now()).await?;
    let mine = store::reactions_of(&mut tx, id, caller.user).await?;
    if let Some(existing) = mine.iter().find(|reaction| *reaction.emoji == *emoji) {
        let existing = shown(backend, &mut tx, existing.clone()).await?;
        return Ok((existing, false));
    }
    rules::may_react_again(&mine)?;
    let new = Reacted {
        id: ReactionId::new(),
        message_id: id,
        user_id: caller.user,
        emoji: emoji.into(),
        created_at: spot.at,
    };
    store::add_reaction(&mut tx, &new).await?;
    let reaction = shown(backend, &mut tx, new).await?;
    tx.record_at(spot, &Event::ReactionAdded(changed(chat, &reaction)))
        .await?;
    tx.commit().await?;
    Ok((reaction, true))
}

/// Take back one of the caller's reactions. Everything but its id means something only on a message.
pub async fn remove(
    backend: &Backend,
    caller: &Caller,
    message: Option<MessageId>,
    which: ReactionRef,
) -> Result<()> {
    backend.limits.check(Limited::Reaction, caller.user).await?;
    let mut tx = backend.begin().await?;
    let (chat, reaction) = match (message, which) {
        (Some(message), which) => on_message(&mut tx, caller, message, which).await?,
        (None, ReactionRef::Id(id)) => anywhere(&mut tx, caller, id).await?,
        (None, _) => {
            return Err(Error::invalid(
                "reaction",
                "must be a UUID where no message is named",
            ));
        }
    };
    if reaction.user_id != caller.user {
        return Err(Error::Forbidden(Reason::NotYourReaction));
    }
    let spot = chats::next_place(&mut tx, caller.user, chat, backend.clock.now()).await?;
    if !store::remove_reaction(&mut tx, reaction.id).await? {
        return Err(Error::NotFound("reaction"));
    }
    let reaction = shown(backend, &mut tx, reaction).await?;
    tx.record_at(spot, &Event::ReactionRemoved(changed(chat, &reaction)))
        .await?;
    tx.commit().await
}

async fn on_message(
    tx: &mut Tx,
    caller: &Caller,
    message: MessageId,
    which: ReactionRef,
) -> Result<(ChatId, Reacted)> {
    let (chat, _) = chat_of(tx, caller, message).await?;
    let meant = match which {
        ReactionRef::Id(id) => {
            let anybodys = store::reaction(tx, id).await?;
            anybodys.filter(|reaction| reaction.message_id == message)
        }
        ReactionRef::Emoji(emoji) => {
            let mine = store::reactions_of(tx, message, caller.user).await?;
            mine.into_iter().find(|reaction| *reaction.emoji == *emoji)
        }
        ReactionRef::Around(time) => {
            rules::nearest(store::reactions_of(tx, message, caller.user).await?, time)
        }
    };
    Ok((chat, meant.ok_or(Error::NotFound("reaction"))?))
}

/// Anybody's reaction in a chat that the caller is in.
async fn anywhere(tx: &mut Tx, caller: &Caller, id: ReactionId) -> Result<(ChatId, Reacted)> {
    let nothing = Error::NotFound("reaction");
    let Some(reaction) = store::reaction(tx, id).await? else {
        return Err(nothing);
    };
    match chat_of(tx, caller, reaction.message_id).await {
        Ok((chat, _)) => Ok((chat, reaction)),
        Err(Error::NotFound(_)) => Err(nothing),
        Err(error) => Err(error),
    }
}

/// The reaction with the person who reacted.
async fn shown(backend: &Backend, tx: &mut Tx, reaction: Reacted) -> Result<Reaction> {
    let user = slice::from_ref(&reaction.user_id);
    let user = accounts::people(tx, &backend.settings, user).await?;
    Ok(Reaction {
        id: reaction.id,
        message_id: reaction.message_id,
        user_id: reaction.user_id,
        emoji: reaction.emoji,
        created_at: reaction.created_at,
        user: user.get(&reaction.user_id).map(Person::from),
    })
}

fn changed(chat: ChatId, reaction: &Reaction) -> ReactionChanged {
    ReactionChanged {
        reaction: reaction.clone(),
        reaction_id: reaction.id,
        chat_id: chat,
    }
}
