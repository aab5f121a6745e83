//! How far messages got.
//!
//! Each member of a chat has two positions in it: up to where they have it, and up to where they have read it. Ticks, "read by
//! 3 of 5" and unread counts follow from these.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ChatId, MessageId, UserId,
    message::{DeliveryStatus, ReadCount},
    topic::Seq,
};

/// A message reached somebody.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageDelivered {
    pub message_id: MessageId,
    pub chat_id: ChatId,
    pub delivered_to: UserId,
    /// The same as `deliveredTo`.
    pub user_id: UserId,
    /// Always `delivered`.
    pub status: DeliveryStatus,
    pub delivered_at: DateTime<Utc>,
}

/// Somebody has read a message.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageRead {
    pub message_id: MessageId,
    pub chat_id: ChatId,
    pub read_by: UserId,
    /// The same as `readBy`.
    pub user_id: UserId,
    pub read_at: DateTime<Utc>,
    pub read_count: ReadCount,
}

/// A person has read a chat up to a position, on one of their devices.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatRead {
    pub chat_id: ChatId,
    pub user_id: UserId,
    #[schema(value_type = i64)]
    pub upto: Seq,
    pub unread_count: i64,
    pub read_at: DateTime<Utc>,
}
