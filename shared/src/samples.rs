//! Alice, Bob and their chat: one set of example values for documents and tests.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    UserId,
    account::{Status, User},
    text::Username,
};

/// The moment at which all examples happen.
pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_262_400, 123_456_000).unwrap_or_default()
}

pub fn alice() -> User {
    person(
        Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_a11c),
        "alice",
        "Alice",
    )
}

pub fn bob() -> User {
    person(
        Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_00b0),
        "bob",
        "Bob",
    )
}

fn person(id: Uuid, username: &str, display_name: &str) -> User {
    User {
        id: UserId(id),
        username: Username::try_from(username.to_owned()).expect("sample names are valid"),
        display_name: Some(display_name.to_owned()),
        avatar_url: None,
        status: Status::Online,
        chosen_status: None,
        last_seen: Some(noon()),
        created_at: noon(),
        updated_at: noon(),
    }
}
