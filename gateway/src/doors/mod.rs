//! The ways in. Each door decodes, identifies, calls a use case and renders; none of them decides anything.

pub mod http;
pub mod ops;
pub mod rest;
pub mod serve;
