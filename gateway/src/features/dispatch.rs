//! From a command to its use case. No logic in here: what live connections may ask is what REST may ask.

use std::sync::Arc;

use shared::command::{Command, Reply};

use crate::{
    error::Result,
    features::{Backend, Caller, chats, messages, presence},
};

pub async fn dispatch(backend: &Arc<Backend>, caller: &Caller, command: Command) -> Result<Reply> {
    match command {
        Command::ChooseStatus(status) => presence::choose(backend, caller, status).await?,
        Command::Heartbeat => presence::beat(backend, caller).await?,
        Command::JoinChat(chat) => chats::list::by_id(backend, caller, chat).await.map(drop)?,
        Command::SendMessage { chat, message } => {
            let sent = messages::send::send(backend, caller, chat, message).await?;
            return Ok(Reply::Sent(Box::new(sent.message)));
        }
        Command::StartTyping(chat) => presence::typing::start(backend, caller, chat).await?,
        Command::StopTyping(chat) => presence::typing::stop(backend, caller.user, chat)?,
        _ => {}
    }
    Ok(Reply::Done)
}
