//! Read a chat, page by page, backwards from the newest message. What was fetched has arrived.

use chrono::Datelike;
use shared::{
    ChatId,
    message::{MessagePage, ReadHistory},
};

use super::store;
use crate::{
    error::{Error, Result},
    features::{
        Backend, Caller, chats,
        receipts::{Reached, mark_delivered},
    },
};

pub async fn history(
    backend: &Backend,
    caller: &Caller,
    chat: ChatId,
    ask: ReadHistory,
) -> Result<MessagePage> {
    if ask
        .cursor
        .is_some_and(|cursor| !(0..=9999).contains(&cursor.year()))
    {
        return Err(Error::invalid("cursor", "must be a time of this era"));
    }
    let mut tx = backend.begin().await?;
    chats::member_place(&mut tx, caller.user, chat).await?;
    // One more than wanted tells whether there are more.
    let mut newest_first = store::page(&mut tx, chat, ask.cursor, ask.limit.sql() + 1).await?;
    let has_more = newest_first.len() > ask.limit.get();
    newest_first.truncate(ask.limit.get());
    newest_first.reverse();
    let data = store::messages(&mut tx, &backend.settings, &newest_first).await?;
    let foreign = data
        .iter()
        .rev()
        .find(|message| message.sender_id != Some(caller.user));
    if let Some(newest) = foreign {
        let reached = Reached {
            chat,
            user: caller.user,
            upto: newest.seq,
        };
        mark_delivered::note_fetched(backend, &mut tx, reached).await?;
    }
    let cursor = data.first().map(|message| message.created_at);
    Ok(MessagePage {
        data,
        cursor,
        next_cursor: cursor.filter(|_| has_more),
        has_more,
    })
}
