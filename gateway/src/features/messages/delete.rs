//! Take a message back. It stays where it was, but what it said is destroyed: in the message, in what it said before it was edited,
//! and in every copy in the log, so that nobody can find it again.

use shared::{
    ChatId, MessageId,
    event::Event,
    message::{ContentType, MessageDeleted, MessageEdited},
    topic::{Seq, Topic},
};

use super::{DELETED, chat_of, rules, store};
use crate::{
    db::Tx,
    error::Result,
    features::{Backend, Caller, chats, media},
    limits::Limited,
};

/// So many messages of the log are written anew at once.
const BATCH: i64 = 100;

/// Doing it again changes nothing.
pub async fn delete(backend: &Backend, caller: &Caller, id: MessageId) -> Result<()> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let (chat, _) = chat_of(&mut tx, caller, id).await?;
    // Who is quoting it at this moment is waited for, and whoever comes later quotes a deleted message.
    let before = store::hold(&mut tx, id).await?;
    rules::may_change(&before, caller.user)?;
    if before.is_deleted {
        return Ok(());
    }
    let spot = chats::next_place(&mut tx, caller.user, chat, backend.clock.now()).await?;
    let edits = store::destroy(&mut tx, id, spot.at).await?;
    if before.content_type == ContentType::Image {
        // Its images go with it: a chore removes what nothing refers to any more.
        media::delete_of_message(&mut tx, id).await?;
    }
    let edits = edits.into_iter().map(|(seq, edited_at)| {
        let edited = MessageEdited {
            id,
            message_id: id,
            chat_id: chat,
            content: DELETED.to_owned(),
            is_edited: true,
            edited_at,
        };
        (seq, Event::MessageEdited(edited))
    });
    tx.rewrite(Topic::Chat(chat), &edits.collect::<Vec<_>>()).await?;
    send_anew(backend, &mut tx, chat, &[id]).await?;
    let mut reached: Seq = before.seq;
    loop {
        let replies = store::replies(&mut tx, id, reached, BATCH).await?;
        let Some(last) = send_anew(backend, &mut tx, chat, &replies).await? else {
            break;
        };
        reached = last;
    }
    let deleted = Event::MessageDeleted(MessageDeleted {
        id,
        message_id: id,
        chat_id: chat,
        content: DELETED.to_owned(),
        is_deleted: true,
        deleted_at: spot.at,
    });
    tx.record_at(spot, &deleted).await?;
    tx.commit().await
}

/// Let the log tell these messages of a chat as they are now, and say where the last of them stands.
async fn send_anew(backend: &Backend, tx: &mut Tx, chat: ChatId, ids: &[MessageId]) -> Result<Option<Seq>> {
    let messages = store::messages(tx, &backend.settings, ids).await?;
    let last = messages.last().map(|message| message.seq);
    let events = messages.into_iter().map(|mut message| {
        // They came later, and the log tells so.
        message.reactions.clear();
        (message.seq, Event::MessageSent(message))
    });
    tx.rewrite(Topic::Chat(chat), &events.collect::<Vec<_>>()).await?;
    Ok(last)
}
