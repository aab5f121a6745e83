//! The gateway from outside: real replicas, real sockets, a real PostgreSQL, Redis and S3 server.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets something unexpected has failed"
)]

mod access;
mod accounts;
mod architecture;
mod auth;
mod avatars;
mod bad_input;
mod chats;
mod cluster;
mod configuration;
mod contacts;
mod docs;
mod groups;
mod health;
mod image_addresses;
mod image_bench;
mod image_files;
mod images;
mod lateness;
mod limits;
mod live;
mod messages;
mod official_clients;
mod openapi;
mod operate;
mod pictures;
mod program;
mod receipts;
mod search;
mod sends;
mod shutdown;
mod sick_services;
mod tls;
mod traces;
mod two_tabs;
mod weather;
mod wire;
