//! Who knows whom.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ChatId, ContactId, UserId,
    account::{Status, User},
};

/// Ask somebody to become a contact. The client has two names for the other person.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestContact {
    /// The other person.
    pub contact_id: Option<UserId>,
    /// The other person, as the profile page says it.
    pub user_id: Option<UserId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestStatus {
    Pending,
    Accepted,
    /// Accepted, and the person who looks at it has blocked the other one.
    Blocked,
    Rejected,
}

/// A request from one person to another.
///
/// Whoever sent it sees no `sender`: the client would offer them to accept it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactRequest {
    pub id: ContactId,
    pub sender_id: UserId,
    pub receiver_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<Person>,
    pub receiver: Person,
    pub status: RequestStatus,
    pub created_at: DateTime<Utc>,
    /// The same as `senderId`.
    pub requested_by: UserId,
    /// The person who looks at it.
    pub user_id: UserId,
    /// The other one.
    pub contact_id: UserId,
    pub contact: User,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ContactRequests {
    pub requests: Vec<ContactRequest>,
}

/// A person in few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    pub id: UserId,
    pub username: String,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}

impl From<&User> for Person {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            username: user.username.to_string(),
            display_name: user.display_name.clone(),
            avatar_url: user.avatar_url.clone(),
        }
    }
}

/// A contact, as the other one sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// The direct chat with this contact: what the client opens and puts into groups.
    pub id: ChatId,
    pub username: String,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    /// Whether they are there.
    pub status: Status,
    pub last_seen: Option<DateTime<Utc>>,
    /// The person whose list this is has blocked them. Nobody is told the reverse.
    pub is_blocked: bool,
    /// The same as `id`.
    pub chat_id: ChatId,
    /// The person whose list this is.
    pub user_id: UserId,
    /// The contact.
    pub contact_id: UserId,
    pub relation_id: ContactId,
    pub contact_status: RequestStatus,
    pub requested_by: UserId,
    pub created_at: DateTime<Utc>,
    pub accepted_at: Option<DateTime<Utc>>,
    pub user: User,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Contacts {
    pub contacts: Vec<Contact>,
}

/// Whether the caller has blocked somebody.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockState {
    /// The other person.
    pub contact_id: UserId,
    pub is_blocked: bool,
}

/// Two people are not contacts any more.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactEnded {
    /// Their direct chat, which stays readable.
    pub id: ChatId,
    pub chat_id: ChatId,
    pub relation_id: ContactId,
    /// The person who is told.
    pub user_id: UserId,
    /// The other one.
    pub contact_id: UserId,
    pub timestamp: DateTime<Utc>,
}
