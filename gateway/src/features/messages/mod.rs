//! Messages: sending them, and reading what was sent.

pub mod announce;
pub mod history;
mod rules;
pub mod send;
mod store;

pub use self::store::messages;
