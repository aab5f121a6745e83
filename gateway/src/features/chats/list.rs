//! The caller's chats: all of them, or one by its id or its readable address.

use shared::{
    ChatId,
    chat::{Chat, ChatCursor, ChatPage, ListChats},
};

use super::{member_place, start::seen_by, store};
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Backend, Caller, presence},
    limits::Limited,
};

pub async fn list(backend: &Backend, caller: &Caller, ask: ListChats) -> Result<ChatPage> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    // One more than wanted tells whether there are more.
    let mut ids = store::page(&mut tx, caller.user, ask.cursor, ask.limit.sql() + 1).await?;
    let has_more = ids.len() > ask.limit.get();
    ids.truncate(ask.limit.get());
    let mut chats = store::chats(&mut tx, &backend.settings, caller.user, &ids).await?;
    presence::in_chats(backend, &mut tx, caller.user, &mut chats).await?;
    let last = chats.last().filter(|_| has_more);
    let next_cursor = last.map(|chat| {
        ChatCursor {
            at: chat.last_message_at.unwrap_or(chat.created_at),
            id: chat.id,
        }
        .to_string()
    });
    Ok(ChatPage {
        chats,
        next_cursor,
        has_more,
    })
}

pub async fn by_id(backend: &Backend, caller: &Caller, chat: ChatId) -> Result<Chat> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    seen_by_member(backend, &mut tx, caller, chat).await
}

pub async fn by_slug(backend: &Backend, caller: &Caller, slug: &str) -> Result<Chat> {
    backend.limits.check(Limited::General, caller.user).await?;
    if slug.contains('\0') {
        return Err(Error::NotFound("chat"));
    }
    let mut tx = backend.begin().await?;
    let chat = store::id_of_slug(&mut tx, slug)
        .await?
        .ok_or(Error::NotFound("chat"))?;
    seen_by_member(backend, &mut tx, caller, chat).await
}

async fn seen_by_member(backend: &Backend, tx: &mut Tx, caller: &Caller, chat: ChatId) -> Result<Chat> {
    member_place(tx, caller.user, chat).await?;
    seen_by(backend, tx, caller.user, chat).await
}
