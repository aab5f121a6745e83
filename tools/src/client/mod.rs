//! The gateway seen from outside. Tests and seeds speak through this and nothing else, so that they
//! rely on what the contract says and not on what the code happens to do.

pub mod rest;
pub mod socketio;

pub use rest::{Answer, LoggedIn, PASSWORD, Rest};
pub use socketio::{Heard, Socket};
