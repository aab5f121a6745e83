#![doc = include_str!("../README.md")]

pub mod account;
pub mod health;
pub mod ids;
pub mod page;
pub mod problem;
pub mod samples;
pub mod secret;
pub mod session;
pub mod text;

pub use ids::*;
