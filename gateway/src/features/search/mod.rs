//! Finding people and messages.

pub mod condense;
pub mod messages;
pub mod people;
mod rules;
mod store;

pub use self::rules::folded;
