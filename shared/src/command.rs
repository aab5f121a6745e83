//! Everything that a client may ask over a live connection, and what it gets for it.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    ChatId, MessageId,
    account::Status,
    message::{EditMessage, Message, ReactionRef, SendMessage},
    text::Emoji,
};

#[derive(Clone, Debug)]
pub enum Command {
    AddReaction {
        message: MessageId,
        emoji: Emoji,
    },
    ChooseStatus(Status),
    DeleteMessage(MessageId),
    EditMessage {
        message: MessageId,
        change: EditMessage,
    },
    /// Nothing is asked; the client is there.
    Heartbeat,
    /// May the caller be in this chat? Whoever is in it is told of it anyway.
    JoinChat(ChatId),
    MarkChatRead(ChatId),
    MarkDelivered(MessageId),
    MarkRead(Vec<MessageId>),
    /// A reaction of the caller's, on a message if the client knows which.
    RemoveReaction {
        message: Option<MessageId>,
        reaction: ReactionRef,
    },
    SendMessage {
        chat: ChatId,
        message: SendMessage,
    },
    StartTyping(ChatId),
    StopTyping(ChatId),
}

#[derive(Clone, Debug)]
pub enum Reply {
    Done,
    Sent(Box<Message>),
}

/// The message that a command is about.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfMessage {
    pub message_id: MessageId,
}

/// The chat that a command is about.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfChat {
    pub chat_id: ChatId,
}
