//! People, as others see them.

pub mod avatar;
pub mod profile;
mod store;
pub mod update;

pub use self::store::{UserRow, people, user};
