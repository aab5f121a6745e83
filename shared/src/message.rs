//! Messages.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::{
    ChatId, MessageId, ReactionId, UserId,
    contact::Person,
    media::Attachment,
    moment,
    page::Limit,
    text::{Caption, ClientKey, Emoji, MessageText, Metadata},
    topic::Seq,
};

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    /// May only be empty, or left out, where images say it.
    #[serde(default)]
    pub content: Caption,
    #[serde(default)]
    pub content_type: SentType,
    /// Anything; it comes back untouched. But for two keys, of which an image message has one: `images` holds up to five uploads by
    /// their addresses, as `{url, thumbnailUrl?, mediumUrl?, originalUrl?}`, and `attachments` by their ids.
    #[serde(default)]
    pub metadata: Metadata,
    /// A message of the same chat.
    pub reply_to_id: Option<MessageId>,
    /// Sending again with the same key gives the first message, for ever. Also as the header `Idempotency-Key`.
    pub client_message_id: Option<ClientKey>,
}

/// What people may send. A message with images is an image message, whatever it calls itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum SentType {
    #[default]
    Text,
    Image,
}

impl TryFrom<String> for SentType {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match &*text {
            "text" => Ok(Self::Text),
            "image" => Ok(Self::Image),
            _ => Err("must be one of text, image"),
        }
    }
}

/// Say something else instead.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct EditMessage {
    pub content: MessageText,
}

/// React to a message.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct React {
    pub emoji: Emoji,
}

/// Which of one's reactions is meant: its id, its emoji, or the 13 digits of a time in milliseconds, which the client makes up for
/// reactions that it was told of live.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ReactionRef {
    Id(ReactionId),
    Emoji(Emoji),
    Around(DateTime<Utc>),
}

impl TryFrom<String> for ReactionRef {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        if text.len() == 13 && text.bytes().all(|b| b.is_ascii_digit()) {
            let time = text.parse().ok().and_then(DateTime::from_timestamp_millis);
            return time.map(Self::Around).ok_or("must be a time of this era");
        }
        Emoji::try_from(text).map(Self::Emoji)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    pub id: ReactionId,
    pub message_id: MessageId,
    pub user_id: UserId,
    #[schema(example = "👍")]
    pub emoji: String,
    pub created_at: DateTime<Utc>,
    pub user: Option<Person>,
}

/// What members are told when a reaction comes or goes.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactionChanged {
    #[serde(flatten)]
    pub reaction: Reaction,
    /// The same as `id`.
    pub reaction_id: ReactionId,
    pub chat_id: ChatId,
}

/// What members are told of an edit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageEdited {
    pub id: MessageId,
    pub message_id: MessageId,
    pub chat_id: ChatId,
    pub content: String,
    pub is_edited: bool,
    pub edited_at: DateTime<Utc>,
}

/// What members are told of a deletion.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageDeleted {
    pub id: MessageId,
    pub message_id: MessageId,
    pub chat_id: ChatId,
    pub content: String,
    pub is_deleted: bool,
    pub deleted_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[cfg_attr(
    feature = "sqlx",
    derive(sqlx::Type),
    sqlx(type_name = "text", rename_all = "lowercase")
)]
#[serde(rename_all = "lowercase")]
pub enum ContentType {
    Text,
    Image,
    System,
}

/// How far a message got, as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    Sent,
    /// Somebody has it.
    Delivered,
    /// Somebody has read it.
    Read,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    pub id: MessageId,
    pub chat_id: ChatId,
    /// Null for what the system says.
    pub sender_id: Option<UserId>,
    pub sender: Option<Person>,
    /// Harmless HTML.
    #[schema(example = "Hello <strong>Bob</strong>")]
    pub content: String,
    pub content_type: ContentType,
    #[schema(value_type = Object)]
    pub metadata: Box<RawValue>,
    pub reply_to_id: Option<MessageId>,
    pub reply_to: Option<Quote>,
    pub is_edited: bool,
    pub edited_at: Option<DateTime<Utc>>,
    pub is_deleted: bool,
    pub deleted_at: Option<DateTime<Utc>>,
    pub reactions: Vec<Reaction>,
    pub delivery_status: DeliveryStatus,
    pub read_count: ReadCount,
    /// The images in it, in their order.
    pub attachments: Vec<Attachment>,
    // Last, so that a message can be written before its place is known: see `open_json`.
    /// Strictly increasing within a chat.
    #[serde(serialize_with = "moment::serialize")]
    pub created_at: DateTime<Utc>,
    /// Its place in the chat's order.
    #[schema(value_type = i64)]
    pub seq: Seq,
}

impl Message {
    /// Its JSON but for its place, which `place_json` adds.
    pub fn open_json(&self) -> serde_json::Result<String> {
        let mut json = serde_json::to_string(self)?;
        let place = Self::place_json(self.created_at, self.seq);
        match json.len().checked_sub(place.len()) {
            Some(open) if json.ends_with(&place) => json.truncate(open),
            _ => return Err(serde::ser::Error::custom("a message does not end with its place")),
        }
        Ok(json)
    }

    /// The end of a message's JSON. PostgreSQL writes the same in `keep_messages`.
    pub fn place_json(created_at: DateTime<Utc>, seq: Seq) -> String {
        format!(r#","createdAt":"{}","seq":{seq}}}"#, moment::text(&created_at))
    }
}

/// What the system says of, for programs; people read the content. In the `metadata` of such messages, as `system`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum SystemNotice {
    GroupPictureChanged { actor_id: UserId },
    GroupRenamed { actor_id: UserId, name: String },
    MemberLeft { user_id: UserId },
    MemberRemoved { actor_id: UserId, user_id: UserId },
    MembersAdded { actor_id: UserId, user_ids: Vec<UserId> },
    OwnershipPassed { user_id: UserId },
}

/// The message that another one answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quote {
    pub id: MessageId,
    pub sender_id: Option<UserId>,
    pub sender: Option<Person>,
    pub content: String,
    pub content_type: ContentType,
    #[serde(serialize_with = "moment::serialize")]
    pub created_at: DateTime<Utc>,
}

/// How many of the recipients have read a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReadCount {
    pub total: i64,
    pub read: i64,
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ReadHistory {
    /// `createdAt` of the first message of the page that one has.
    pub cursor: Option<DateTime<Utc>>,
    #[serde(default)]
    #[param(inline, required = false)]
    pub limit: Limit<50, 100>,
}

/// Messages, the oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    pub data: Vec<Message>,
    /// `createdAt` of the first message.
    #[serde(serialize_with = "moment::serialize_option")]
    pub cursor: Option<DateTime<Utc>>,
    /// The cursor of the next older page, if there is one.
    #[serde(serialize_with = "moment::serialize_option")]
    pub next_cursor: Option<DateTime<Utc>>,
    pub has_more: bool,
}
