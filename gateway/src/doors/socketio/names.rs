//! How Socket.IO clients know events and commands by name. What they carry is the same for every door.

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::{
    UserId,
    account::Status,
    command::{Command, OfChat, OfMessage},
    event::Kind,
    message::{EditMessage, React, ReactionRef},
    topic::Topic,
};
use utoipa::ToSchema;

use crate::{doors::json::from_json, error::Result, fanout::Delivery};

/// What a socket is told of its own connection.
pub const OPENED: &str = "connection:success";
pub const RESYNC: &str = "resync";
pub const LEAVING: &str = "server:shutdown";

/// Under which names sockets are told of events of this kind; none, if these are not for them.
pub fn of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::AnswerFlushed | Kind::LineBroke | Kind::SessionEnded => &[],
        Kind::ChatDeleted => &["chat:deleted"],
        Kind::ChatRead => &["chat:read"],
        Kind::ChatStarted => &["chat:created"],
        Kind::ChatUpdated => &["chat:updated"],
        Kind::ContactAccepted => &["contact:accepted"],
        Kind::ContactEnded => &["contact:removed"],
        Kind::ContactRequested => &["contact:request"],
        Kind::ContactRequestRejected => &["contact:rejected"],
        Kind::MemberJoined => &["chat:participant_added"],
        Kind::MemberLeft => &["chat:participant_removed"],
        Kind::MessageDeleted => &["message:deleted"],
        Kind::MessageEdited => &["message:edited"],
        Kind::MessageSent => &["message:new"],
        Kind::MessagesDelivered => &["message:delivered"],
        Kind::MessagesRead => &["message:read"],
        Kind::ProfileUpdated => &["user:profile:update"],
        Kind::ReactionAdded => &["reaction:added"],
        Kind::ReactionRemoved => &["reaction:removed"],
        // The client listens to one, older ones to the other.
        Kind::StatusChanged => &["user:status", "user.status"],
        Kind::TypingStarted => &["typing:start"],
        Kind::TypingStopped => &["typing:stop"],
    }
}

/// Is the body of such events a list, of which each element is told as an event of its own?
pub fn is_list(kind: Kind) -> bool {
    matches!(kind, Kind::MessagesDelivered | Kind::MessagesRead)
}

/// The name under which everybody who hears an event hears it, in the same words; nothing if that depends on who it is.
pub fn for_all(delivery: &Delivery) -> Option<&'static str> {
    match delivery.kind? {
        kind @ (Kind::ChatUpdated
        | Kind::MemberJoined
        | Kind::MemberLeft
        | Kind::MessageDeleted
        | Kind::MessageEdited
        | Kind::MessageSent
        | Kind::ReactionAdded
        | Kind::ReactionRemoved) => of(kind).first().copied(),
        _ => None,
    }
}

/// Under which names an event is told, each with its payload. Nothing, if it is not for this person or not for sockets.
pub fn told(delivery: &Delivery, me: UserId) -> Vec<(&'static str, &RawValue)> {
    let Some(kind) = delivery.kind else {
        return Vec::new();
    };
    let is_told = match kind {
        // Each member is told personally, too; whoever listens to the chat would hear it twice.
        Kind::ChatDeleted => matches!(delivery.topic(), Topic::User(_)),
        Kind::ContactRequested => !is_about(delivery, "requestedBy", me),
        Kind::TypingStarted | Kind::TypingStopped => !is_about(delivery, "userId", me),
        _ => true,
    };
    let (json, names) = (delivery.json(), of(kind));
    match (is_told, is_list(kind)) {
        (false, _) => Vec::new(),
        (true, false) => names.iter().map(|name| (*name, json)).collect(),
        (true, true) => names.iter().flat_map(|name| each(name, json)).collect(),
    }
}

/// One event for each element of a list.
fn each<'a>(name: &'static str, list: &'a RawValue) -> Vec<(&'static str, &'a RawValue)> {
    let elements: Vec<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
    elements.into_iter().map(|element| (name, element)).collect()
}

fn is_about(delivery: &Delivery, field: &str, user: UserId) -> bool {
    let body: Option<serde_json::Value> = delivery.read();
    body.and_then(|body| body.get(field)?.as_str()?.parse().ok()) == Some(user)
}

/// What an event from a client asks for; nothing if we know no such event.
pub fn asked(name: &str, payload: &str) -> Option<Result<Command>> {
    let bytes = payload.as_bytes();
    Some(match name {
        "chat:join" | "chat:leave" => from_json(bytes).map(|of: OfChat| Command::JoinChat(of.chat_id)),
        "chat:mark-all-read" => from_json(bytes).map(|of: OfChat| Command::MarkChatRead(of.chat_id)),
        "message:delete" => from_json(bytes).map(|of: OfMessage| Command::DeleteMessage(of.message_id)),
        "message:delivered" => from_json(bytes).map(|of: OfMessage| Command::MarkDelivered(of.message_id)),
        "message:edit" => message_and(bytes)
            .map(|(message, change): (_, EditMessage)| Command::EditMessage { message, change }),
        "message:mark-read" | "message:read" => read(bytes),
        "message:send" => from_json(bytes).and_then(|of: OfChat| {
            Ok(Command::SendMessage {
                chat: of.chat_id,
                message: from_json(bytes)?,
            })
        }),
        "presence:heartbeat" => Ok(Command::Heartbeat),
        "presence:update" => from_json(bytes).map(|of: OfStatus| Command::ChooseStatus(of.status)),
        "reaction:add" => message_and(bytes).map(|(message, react): (_, React)| Command::AddReaction {
            message,
            emoji: react.emoji,
        }),
        "reaction:remove" => from_json(bytes).map(|of: OfReaction| Command::RemoveReaction {
            message: of.message_id,
            reaction: of.reaction_id,
        }),
        "typing:start" => from_json(bytes).map(|of: OfChat| Command::StartTyping(of.chat_id)),
        "typing:stop" => from_json(bytes).map(|of: OfChat| Command::StopTyping(of.chat_id)),
        _ => return None,
    })
}

fn message_and<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<(shared::MessageId, T)> {
    let of: OfMessage = from_json(bytes)?;
    Ok((of.message_id, from_json(bytes)?))
}

/// One message, or several of a chat.
fn read(bytes: &[u8]) -> Result<Command> {
    let several: Several = from_json(bytes)?;
    match several.message_ids {
        Some(messages) => Ok(Command::MarkRead(messages)),
        None => from_json(bytes).map(|of: OfMessage| Command::MarkRead(vec![of.message_id])),
    }
}

/// The messages that a command is about.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Several {
    #[serde(default)]
    message_ids: Option<Vec<shared::MessageId>>,
}

/// How somebody wants to be shown.
#[derive(Deserialize, ToSchema)]
pub struct OfStatus {
    status: Status,
}

/// The reaction that a command is about.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfReaction {
    /// May only be left out where the reaction is named by its id.
    message_id: Option<shared::MessageId>,
    /// Its id, its emoji, or the milliseconds of about when it was made.
    #[schema(value_type = String)]
    reaction_id: ReactionRef,
}

/// What the client hears of its command, besides what everybody is told.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    /// The event that says it worked, if there is one.
    pub success: Option<&'static str>,
    /// The event that says it did not.
    pub failure: &'static str,
}

pub fn answers(name: &str) -> Answers {
    let (success, failure) = match name {
        "chat:mark-all-read" => (Some("chat:mark-all-read:success"), "chat:mark-all-read:error"),
        "message:delete" => (Some("message:delete:success"), "message:delete:error"),
        "message:edit" => (Some("message:edit:success"), "message:edit:error"),
        "message:mark-read" | "message:read" => (Some("message:read:success"), "message:read:error"),
        "message:send" => (Some("message:sent"), "message:error"),
        "presence:heartbeat" => (Some("presence:heartbeat:ack"), "error"),
        "presence:update" => (None, "presence:error"),
        "reaction:add" | "reaction:remove" => (None, "reaction:error"),
        _ => (None, "error"),
    };
    Answers { success, failure }
}

/// Every event that a client may send.
pub const ASKED: [&str; 15] = [
    "chat:join",
    "chat:leave",
    "chat:mark-all-read",
    "message:delete",
    "message:delivered",
    "message:edit",
    "message:mark-read",
    "message:read",
    "message:send",
    "presence:heartbeat",
    "presence:update",
    "reaction:add",
    "reaction:remove",
    "typing:start",
    "typing:stop",
];

/// A command's name for metrics and logs: what somebody makes up is always the same.
pub fn known(name: &str) -> &'static str {
    ASKED
        .iter()
        .find(|known| **known == name)
        .copied()
        .unwrap_or("other")
}
