//! What a socket is told of its own connection, by nobody but this replica.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{ChatId, UserId};
use utoipa::ToSchema;

use crate::doors::session::Positions;

/// The connection is open; what was missed follows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    pub user_id: UserId,
    pub timestamp: DateTime<Utc>,
    /// For who named positions: from where on each chat is heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::HashMap<String, i64>>)]
    pub positions: Option<Positions>,
}

/// A chat has to be read anew.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resync {
    pub chat_id: ChatId,
    pub reason: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// More happened since than is told again, or too long ago.
    TooFarBack,
    /// The client is not in this chat, or claims to know it further than it is.
    UnknownPosition,
}

/// This replica leaves; the connection is cut at once, and the client comes back to another one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leaving {
    #[schema(example = "This server is restarting; another one takes over.")]
    pub message: &'static str,
    pub timestamp: DateTime<Utc>,
}

impl Leaving {
    pub fn at(timestamp: DateTime<Utc>) -> Self {
        Self {
            message: "This server is restarting; another one takes over.",
            timestamp,
        }
    }
}
