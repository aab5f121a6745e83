//! Say something in a chat that nobody wrote: who came, who went, what it is called now.

use shared::{ChatId, event::Event, message::SystemNotice, topic::Topic};

use super::store;
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Backend, chats},
};

/// An ordinary message in every way, but without a sender. `text` is plain: clients show it as it is.
pub async fn announce(
    backend: &Backend,
    tx: &mut Tx,
    chat: ChatId,
    notice: &SystemNotice,
    text: &str,
) -> Result<()> {
    let spot = tx.next_place(Topic::Chat(chat), backend.clock.now()).await?;
    let metadata = serde_json::json!({"system": notice}).to_string();
    let id = store::insert_announcement(tx, chat, spot, text, &metadata).await?;
    chats::note_message(tx, chat, spot.at).await?;
    let message = store::messages(tx, &backend.settings, &[id]).await?.pop();
    let message = message.ok_or_else(|| Error::internal("an announcement that vanished"))?;
    tx.record_at(spot, &Event::MessageSent(message)).await
}
