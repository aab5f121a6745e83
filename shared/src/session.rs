//! Login sessions: one for each time somebody logged in and has not logged out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::SessionId;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginSession {
    pub id: SessionId,
    /// The session that asks.
    pub current: bool,
    /// What the client called itself in `X-Device-Name` when it logged in.
    #[schema(example = "Alice's phone")]
    pub device_name: Option<String>,
    #[schema(example = "203.0.113.7")]
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
    pub created_at: DateTime<Utc>,
    /// To the minute.
    pub last_activity: DateTime<Utc>,
    /// When it ends unless it is refreshed before.
    pub expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LoginSessions {
    /// The most recently used first.
    pub sessions: Vec<LoginSession>,
}
