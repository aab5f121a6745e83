//! People, as others see them.

pub mod avatar;
pub mod profile;
mod store;
pub mod update;

pub use self::store::{UserRow, people, user};

use chrono::{DateTime, Utc};
use shared::{
    account::User,
    event::{Event, ProfileUpdated},
};

fn looks_different(user: &User, now: DateTime<Utc>) -> Event {
    Event::ProfileUpdated(ProfileUpdated {
        user_id: user.id,
        user: user.clone(),
        timestamp: now,
    })
}
