//! Answers that one part of the client reads bare and another under a key: both at once.

use serde::Serialize;
use shared::account::User;
use utoipa::ToSchema;

/// A person, bare and as `user`.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserAnswer {
    #[serde(flatten)]
    pub bare: User,
    pub user: User,
}

impl From<User> for UserAnswer {
    fn from(user: User) -> Self {
        Self {
            bare: user.clone(),
            user,
        }
    }
}
