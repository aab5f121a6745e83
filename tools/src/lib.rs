//! Everything around the gateway that is not the gateway: the dev stack behind `cargo dev`, and the
//! client that the stack's seeds and the gateway's own tests speak through.

pub mod client;
pub mod crowd;
pub mod dev_stack;
pub mod faults;
pub mod load;
