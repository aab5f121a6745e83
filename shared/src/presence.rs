//! Who is there, and who is writing.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{ChatId, UserId, account::Status};

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusChanged {
    pub user_id: UserId,
    pub status: Status,
    pub last_seen: Option<DateTime<Utc>>,
    pub timestamp: DateTime<Utc>,
}

/// Somebody began or ceased to write in a chat.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Typing {
    pub chat_id: ChatId,
    pub user_id: UserId,
    pub username: String,
    pub display_name: Option<String>,
}
