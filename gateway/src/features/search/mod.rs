//! Finding people (and messages).

pub mod people;
mod store;
