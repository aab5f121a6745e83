//! From a command to its use case. No logic in here: what live connections may ask is what REST may ask.
//!
//! All but sending are boxed: what is not takes as much room as the largest of all, for each message.

use std::sync::Arc;

use shared::command::{Command, Reply};

use crate::{
    error::Result,
    features::{
        Backend, Caller, chats,
        messages::{delete, edit, react, send},
        presence::{self, typing},
        receipts::{mark_delivered, mark_read},
    },
};

pub async fn dispatch(backend: &Arc<Backend>, caller: &Caller, command: Command) -> Result<Reply> {
    match command {
        Command::AddReaction { message, emoji } => {
            Box::pin(react::add(backend, caller, message, emoji))
                .await
                .map(drop)?;
        }
        Command::ChooseStatus(status) => Box::pin(presence::choose(backend, caller, status)).await?,
        Command::DeleteMessage(message) => Box::pin(delete::delete(backend, caller, message)).await?,
        Command::EditMessage { message, change } => {
            Box::pin(edit::edit(backend, caller, message, change))
                .await
                .map(drop)?;
        }
        Command::Heartbeat => Box::pin(presence::beat(backend, caller)).await?,
        Command::JoinChat(chat) => Box::pin(chats::list::by_id(backend, caller, chat))
            .await
            .map(drop)?,
        Command::MarkChatRead(chat) => Box::pin(mark_read::chat(backend, caller, chat)).await?,
        Command::MarkDelivered(message) => {
            Box::pin(mark_delivered::message(backend, caller, message)).await?;
        }
        Command::MarkRead(messages) => Box::pin(mark_read::messages(backend, caller, &messages)).await?,
        Command::RemoveReaction { message, reaction } => {
            Box::pin(react::remove(backend, caller, message, reaction)).await?;
        }
        Command::SendMessage { chat, message } => {
            let sent = send::send(backend, caller, chat, message).await?;
            return Ok(Reply::Sent(Box::new(sent.message)));
        }
        Command::StartTyping(chat) => Box::pin(typing::start(backend, caller, chat)).await?,
        Command::StopTyping(chat) => typing::stop(backend, caller.user, chat)?,
    }
    Ok(Reply::Done)
}
