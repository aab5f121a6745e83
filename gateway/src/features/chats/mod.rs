//! Conversations and who takes part in them.

pub mod list;
mod rules;
pub mod start;
mod store;

pub use self::{
    start::ensure_direct,
    store::{Place, note_message, place_of},
};
