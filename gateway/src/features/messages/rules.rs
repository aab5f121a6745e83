//! Decisions about messages that need no database.

#[cfg(test)]
mod properties;
mod sanitise;

pub(super) use sanitise::{harmless, text_of};
