//! The gateway from outside: real replicas, real sockets, a real PostgreSQL, Redis and S3 server.

mod access;
mod accounts;
mod architecture;
mod auth;
mod bad_input;
mod chats;
mod cluster;
mod configuration;
mod health;
mod limits;
mod openapi;
mod search;
mod shutdown;
mod sick_services;
mod weather;
