//! Conversations and who takes part in them.

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    ChatId, ParticipantId, UserId,
    account::{Status, User},
    message::Message,
    page::Limit,
    text::GroupName,
    topic::Seq,
};

/// Open the chat with a contact. There are three names for the other person.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartDirectChat {
    /// The other person.
    pub contact_id: Option<UserId>,
    /// The other person, under another name.
    pub user_id: Option<UserId>,
    /// The other person, under yet another name.
    pub participant_id: Option<UserId>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartGroup {
    pub name: GroupName,
    /// People, or the caller's direct chats with them.
    #[schema(min_items = 1)]
    pub participant_ids: Vec<Uuid>,
}

/// Change a group's name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenameGroup {
    pub name: GroupName,
}

/// Add people to a group: one, or several at once.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddMembers {
    /// A person, or the caller's direct chat with one.
    pub user_id: Option<Uuid>,
    /// People, or the caller's direct chats with them.
    #[serde(default)]
    pub participant_ids: Vec<Uuid>,
    /// `member` unless said otherwise; only the owner adds admins.
    #[serde(default)]
    pub role: NewRole,
}

/// The role that somebody is added with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum NewRole {
    Admin,
    #[default]
    Member,
}

impl TryFrom<String> for NewRole {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match &*text {
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            _ => Err("must be one of admin, member"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[cfg_attr(
    feature = "sqlx",
    derive(sqlx::Type),
    sqlx(type_name = "text", rename_all = "lowercase")
)]
#[serde(rename_all = "lowercase")]
pub enum ChatType {
    Direct,
    Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[cfg_attr(
    feature = "sqlx",
    derive(sqlx::Type),
    sqlx(type_name = "text", rename_all = "lowercase")
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Owner,
    Admin,
    Member,
}

impl From<NewRole> for Role {
    fn from(role: NewRole) -> Self {
        match role {
            NewRole::Admin => Self::Admin,
            NewRole::Member => Self::Member,
        }
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Chat {
    pub id: ChatId,
    #[serde(rename = "type")]
    pub kind: ChatType,
    /// Null for direct chats.
    pub name: Option<String>,
    pub slug: Option<String>,
    pub avatar_url: Option<String>,
    pub owner_id: Option<UserId>,
    /// The person who asks comes first.
    pub participants: Vec<Participant>,
    pub participant_count: usize,
    pub unread_count: i64,
    pub last_message_at: Option<DateTime<Utc>>,
    pub last_message: Option<Message>,
    /// The place of the newest event in this chat: from here on, live events follow without a hole.
    #[schema(value_type = i64)]
    pub position: Seq,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    pub id: ParticipantId,
    pub user_id: UserId,
    pub role: Role,
    pub joined_at: DateTime<Utc>,
    pub user: Member,
}

/// Somebody in a chat.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub id: UserId,
    pub username: String,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    pub status: Status,
    /// How they chose to be shown, which is not for others to know.
    #[serde(skip)]
    #[schema(ignore)]
    pub chosen_status: Option<Status>,
}

impl From<User> for Member {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username.into(),
            display_name: user.display_name,
            avatar_url: user.avatar_url,
            status: user.status,
            chosen_status: user.chosen_status,
        }
    }
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListChats {
    /// The `nextCursor` of the page before.
    #[param(value_type = Option<String>)]
    pub cursor: Option<ChatCursor>,
    #[serde(default)]
    #[param(inline, required = false)]
    pub limit: Limit<50, 100>,
}

/// The end of a page of chats: when there was something new in the last one, and which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ChatCursor {
    pub at: DateTime<Utc>,
    pub id: ChatId,
}

impl TryFrom<String> for ChatCursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parse = || {
            let (at, id) = text.split_once('_')?;
            let at = DateTime::from_timestamp_micros(at.parse().ok()?)?;
            (0..=9999).contains(&at.year()).then_some(())?;
            Some(Self {
                at,
                id: id.parse().ok()?,
            })
        };
        parse().ok_or("must be the `nextCursor` of another page")
    }
}

impl std::fmt::Display for ChatCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.at.timestamp_micros(), self.id)
    }
}

/// Chats, those with the newest messages first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatPage {
    pub chats: Vec<Chat>,
    pub next_cursor: Option<String>,
    pub has_more: bool,
}

/// What members are told when a group looks different.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatChanged {
    pub id: ChatId,
    pub chat_id: ChatId,
    pub name: Option<String>,
    pub slug: Option<String>,
    pub avatar_url: Option<String>,
    pub owner_id: Option<UserId>,
    pub updated_by: UserId,
    pub updated_at: DateTime<Utc>,
}

/// A chat is gone for everybody.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatGone {
    pub id: ChatId,
    pub chat_id: ChatId,
    pub deleted_by: Option<UserId>,
    pub timestamp: DateTime<Utc>,
}

/// Somebody is in a chat from now on.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberJoined {
    pub chat_id: ChatId,
    pub user_id: UserId,
    pub participant: Participant,
    pub added_by: UserId,
    pub timestamp: DateTime<Utc>,
}

/// Somebody is not in a chat any more.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberLeft {
    pub chat_id: ChatId,
    pub user_id: UserId,
    /// Who removed them; the same person if they left.
    pub removed_by: UserId,
    /// Who owns the group now, if that changed with it.
    pub new_owner_id: Option<UserId>,
    pub timestamp: DateTime<Utc>,
}
