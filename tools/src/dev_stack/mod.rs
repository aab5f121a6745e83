//! The dev stack: every component of the messenger on one machine, started with one command and without
//! configuration, each of them real. `cargo dev` is its face; tests borrow its PostgreSQL, Redis and S3.
//!
//! One file per verb (`up`, `down`, …) and one per component (`postgres`, `balancer`, …); below them
//! `process` starts and finds processes, `ports` finds ports, and `place` says where everything lies.

pub mod chat;
pub mod compare;
pub mod doctor;
pub mod down;
pub mod env;
pub mod load;
pub mod logs;
pub mod reset;
pub mod seed;
pub mod sqlx;
pub mod status;
pub mod test;
pub mod up;

mod balancer;
pub(crate) mod cluster;
pub(crate) mod gateway;
pub(crate) mod postgres;
pub(crate) mod redis;
pub mod s3;
mod test_services;

mod apt;
mod cargo;
pub(crate) mod http_probe;
pub(crate) mod lock;
mod os_user;
pub mod place;
pub(crate) mod ports;
pub(crate) mod process;
mod programs;
pub(crate) mod progress;
pub(crate) mod psql;
pub(crate) mod services;
pub(crate) mod state;
pub(crate) mod table;
mod welcome;

pub use test_services::{TestServices, test_services};
