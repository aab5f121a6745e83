//! People: how they register, log in and show themselves.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    UserId,
    page::Limit,
    secret::Secret,
    text::{DisplayName, NewPassword, SearchText, Username},
};

/// A new account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    pub username: Username,
    /// 8 to 128 characters with a lower-case letter, an upper-case letter and a digit.
    pub password: NewPassword,
    /// The same password again.
    #[schema(value_type = String, format = Password, example = "Wonderland1")]
    pub password_confirm: Secret<String>,
    /// Without one, the user name is shown.
    pub display_name: Option<DisplayName>,
}

/// Name and password of somebody who has an account. Neither is checked for form: what cannot exist is simply wrong.
#[derive(Debug, Deserialize, ToSchema)]
pub struct LogIn {
    #[schema(example = "alice")]
    pub username: String,
    #[schema(value_type = String, format = Password, example = "Wonderland1")]
    pub password: Secret<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    #[schema(value_type = String, example = "m7mJ0Z0Zf3rM4w3Cj0xg8w0WmBqYQ0hZ5Zt5nYwqU1c")]
    pub refresh_token: Secret<String>,
}

/// Which login session to end: the one that a refresh token belongs to, else the caller's.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogOut {
    #[schema(value_type = Option<String>)]
    pub refresh_token: Option<Secret<String>>,
}

/// Somebody is logged in.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedIn {
    /// For the header `Authorization: Bearer …`.
    #[schema(example = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl")]
    pub access_token: String,
    /// For `POST /api/auth/refresh`, once.
    #[schema(example = "m7mJ0Z0Zf3rM4w3Cj0xg8w0WmBqYQ0hZ5Zt5nYwqU1c")]
    pub refresh_token: String,
    /// Seconds until the access token has to be refreshed.
    #[schema(example = 900)]
    pub expires_in: u64,
    pub user: User,
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[cfg_attr(
    feature = "sqlx",
    derive(sqlx::Type),
    sqlx(type_name = "text", rename_all = "lowercase")
)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Status {
    Online,
    Away,
    Offline,
}

impl TryFrom<String> for Status {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match &*text {
            "online" => Ok(Self::Online),
            "away" => Ok(Self::Away),
            "offline" => Ok(Self::Offline),
            _ => Err("must be one of online, away, offline"),
        }
    }
}

/// A person as others see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub id: UserId,
    pub username: Username,
    pub display_name: Option<String>,
    /// Absolute, permanent, fetchable without headers.
    pub avatar_url: Option<String>,
    pub status: Status,
    /// How they chose to be shown, which is not for others to know.
    #[serde(skip)]
    #[schema(ignore)]
    pub chosen_status: Option<Status>,
    pub last_seen: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl User {
    /// What people call them.
    pub fn shown_name(&self) -> &str {
        self.display_name.as_deref().unwrap_or(&self.username)
    }
}

/// What somebody changes about themselves. What is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateProfile {
    pub display_name: Option<DisplayName>,
    pub status: Option<Status>,
}

/// Find people by a part of their user name, in any case.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct FindPeople {
    /// A part of the user name, in any case.
    #[param(inline)]
    pub q: Option<SearchText>,
    /// The old name of `q`, which wins.
    #[param(inline)]
    pub query: Option<SearchText>,
    #[serde(default)]
    #[param(inline, required = false)]
    pub limit: Limit<20, 20>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PeopleFound {
    /// Sorted by user name.
    pub users: Vec<PersonFound>,
    /// How many there are, also beyond the limit; counted up to 1,000.
    pub total: i64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonFound {
    #[serde(flatten)]
    pub user: User,
    /// The caller and this person have accepted each other.
    pub is_contact: bool,
    /// A request waits for an answer, from either side.
    pub has_pending_request: bool,
}
