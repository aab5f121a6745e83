//! Everything that is told, in the past tense.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    ChatId, SessionId, UserId,
    account::User,
    chat::{Chat, ChatChanged, ChatGone, MemberJoined, MemberLeft},
    contact::{Contact, ContactEnded, ContactRequest},
    message::{Message, MessageDeleted, MessageEdited, ReactionChanged},
    presence::{StatusChanged, Typing},
    receipt::{ChatRead, MessageDelivered, MessageRead},
};

macro_rules! events {
    ($($(#[doc = $doc:literal])* $name:ident($body:ty) = $kind:literal;)+) => {
        /// What happened. Each variant carries what clients are told of it.
        #[derive(Clone, Debug)]
        pub enum Event {
            $($(#[doc = $doc])* $name($body),)+
        }

        /// An event's name alone, as the log and the bus know it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($name,)+
        }

        impl Event {
            pub fn kind(&self) -> Kind {
                match self { $(Self::$name(_) => Kind::$name,)+ }
            }

            /// What clients get, written once for all of them.
            pub fn body(&self) -> serde_json::Result<String> {
                match self { $(Self::$name(body) => serde_json::to_string(body),)+ }
            }
        }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What the body of such an event looks like.
            pub fn body(self) -> Described {
                match self { $(Self::$name => Described::of::<$body>(),)+ }
            }

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $kind,)+ }
            }

            /// The kind of this name, if this version knows it.
            pub fn of(name: &str) -> Option<Self> {
                match name { $($kind => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

events! {
    /// To a person: the answer to their own message is on its way, so their sockets may be told of it. Passing.
    AnswerFlushed(AnswerFlushed) = "answer_flushed";
    ChatDeleted(ChatGone) = "chat_deleted";
    /// To a person: one of their devices has read a chat up to a point.
    ChatRead(ChatRead) = "chat_read";
    /// To a person: they are in this chat from now on.
    ChatStarted(Chat) = "chat_started";
    ChatUpdated(ChatChanged) = "chat_updated";
    ContactAccepted(Contact) = "contact_accepted";
    ContactEnded(ContactEnded) = "contact_ended";
    ContactRequested(ContactRequest) = "contact_requested";
    ContactRequestRejected(ContactRequest) = "contact_request_rejected";
    MemberJoined(MemberJoined) = "member_joined";
    /// To a chat: somebody is not in it any more. Also to that person.
    MemberLeft(MemberLeft) = "member_left";
    MessageDeleted(MessageDeleted) = "message_deleted";
    MessageEdited(MessageEdited) = "message_edited";
    MessageSent(Message) = "message_sent";
    /// To an author: these messages of theirs have reached somebody for the first time.
    MessagesDelivered(Vec<MessageDelivered>) = "messages_delivered";
    /// To an author: somebody has read these messages of theirs.
    MessagesRead(Vec<MessageRead>) = "messages_read";
    /// To people who may see them: somebody looks different now. Passing, but for the person themselves.
    ProfileUpdated(ProfileUpdated) = "profile_updated";
    ReactionAdded(ReactionChanged) = "reaction_added";
    ReactionRemoved(ReactionChanged) = "reaction_removed";
    SessionEnded(SessionGone) = "session_ended";
    /// To a person: a connection of theirs broke, and may have missed something.
    LineBroke(LineBroke) = "line_broke";
    /// To contacts. Passing.
    StatusChanged(StatusChanged) = "status_changed";
    /// To a chat. Passing.
    TypingStarted(Typing) = "typing_started";
    /// To a chat. Passing.
    TypingStopped(Typing) = "typing_stopped";
}

/// A type in a document: its schema, and the named ones that this refers to.
pub struct Described {
    pub schema: RefOr<Schema>,
    pub refers_to: Vec<(String, RefOr<Schema>)>,
}

impl Described {
    pub fn of<T: ToSchema>() -> Self {
        let mut refers_to = Vec::new();
        T::schemas(&mut refers_to);
        Self {
            schema: T::schema(),
            refers_to,
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerFlushed {
    pub chat_id: ChatId,
    pub session_id: SessionId,
    /// The place of the message that was answered.
    #[schema(value_type = i64)]
    pub upto: crate::topic::Seq,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineBroke {
    /// What was said from then on may not have arrived.
    pub since: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionGone {
    pub session_id: SessionId,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileUpdated {
    pub user_id: UserId,
    pub user: User,
    pub timestamp: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_their_names() {
        for kind in [Kind::MessageSent, Kind::AnswerFlushed, Kind::TypingStopped] {
            assert_eq!(Kind::of(kind.name()), Some(kind));
        }
        assert_eq!(Kind::of("of the future"), None);
    }
}
