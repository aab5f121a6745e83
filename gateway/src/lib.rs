#![doc = include_str!("../README.md")]

pub mod app;
pub mod bus;
mod chores;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod doors;
pub mod error;
pub mod fanout;
pub mod features;
pub mod lifecycle;
pub mod limits;
pub mod telemetry;

pub use error::{Error, Result};
