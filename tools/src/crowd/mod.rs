//! Many people at once, for whoever loads the gateway or breaks it: who they are (`population`, `token`), how their clients behave
//! (`device`), and whether what they were told is what was promised (`ledger`).

pub mod device;
pub mod ledger;
pub mod population;
mod token;

pub use device::{Device, Habits, Town};
pub use ledger::Ledger;
pub use population::{Population, Size};
