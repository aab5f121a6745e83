//! Images.

pub mod blobs;
