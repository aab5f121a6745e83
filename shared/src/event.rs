//! Everything that is told, in the past tense.

use serde::Serialize;

use crate::{
    SessionId,
    account::User,
    chat::Chat,
    contact::{Contact, ContactRequest},
    message::Message,
};

/// What happened. Each variant carries what clients are told of it.
#[derive(Clone, Debug)]
pub enum Event {
    ChatStarted(Chat),
    ContactAccepted(Contact),
    ContactRequested(ContactRequest),
    ContactRequestRejected(ContactRequest),
    MessageSent(Message),
    ProfileUpdated(User),
    SessionEnded(SessionId),
}

impl Event {
    /// The name under which the log and the wire know it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ChatStarted(_) => "chat_started",
            Self::ContactAccepted(_) => "contact_accepted",
            Self::ContactRequested(_) => "contact_requested",
            Self::ContactRequestRejected(_) => "contact_request_rejected",
            Self::MessageSent(_) => "message_sent",
            Self::ProfileUpdated(_) => "profile_updated",
            Self::SessionEnded(_) => "session_ended",
        }
    }

    /// What clients get, written once for all of them.
    pub fn body(&self) -> serde_json::Result<String> {
        fn json(body: &impl Serialize) -> serde_json::Result<String> {
            serde_json::to_string(body)
        }
        match self {
            Self::ChatStarted(chat) => json(chat),
            Self::ContactAccepted(contact) => json(contact),
            Self::ContactRequested(request) | Self::ContactRequestRejected(request) => json(request),
            Self::MessageSent(message) => json(message),
            Self::ProfileUpdated(user) => json(user),
            Self::SessionEnded(session) => json(session),
        }
    }
}
