#![doc = include_str!("../README.md")]

pub mod account;
pub mod chat;
pub mod command;
pub mod contact;
pub mod disconnect;
pub mod event;
pub mod health;
pub mod ids;
pub mod media;
pub mod message;
pub mod moment;
pub mod page;
pub mod presence;
pub mod problem;
pub mod receipt;
pub mod samples;
pub mod search;
pub mod secret;
pub mod session;
pub mod text;
pub mod topic;

pub use ids::*;
