//! Images that people upload.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{AttachmentId, MessageId};

/// An uploaded image, in three versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    pub id: AttachmentId,
    /// The message that shows it; null until one does.
    pub message_id: Option<MessageId>,
    /// What its uploader called it.
    #[schema(example = "holiday.jpg")]
    pub file_name: String,
    /// Of the cleaned original.
    #[schema(example = "image/jpeg")]
    pub file_type: String,
    /// Bytes of the cleaned original.
    #[schema(example = 2_345_678)]
    pub file_size: i64,
    /// The whole image, cleaned. Absolute, permanent, fetchable without headers, like the other addresses.
    pub url: String,
    /// The middle of it, a square of at most 300 pixels.
    pub thumbnail_url: String,
    /// All of it, within 800 pixels.
    pub medium_url: String,
    /// The same as `url`.
    pub original_url: String,
    /// Pixels of the image as it is shown: upright.
    pub width: i32,
    pub height: i32,
    pub created_at: DateTime<Utc>,
}
