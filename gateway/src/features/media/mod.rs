//! Images.

pub mod blobs;
pub mod fetch;
pub mod thumbnails;
