//! Images: taking them in, keeping them in the sizes that are shown, giving them out, and letting go of them.

mod admission;
pub mod attach;
pub mod blobs;
mod darkroom;
pub mod discard;
mod drawing;
pub mod fetch;
pub mod find;
mod keep;
mod store;
pub mod sweep;
pub mod upload;

pub use self::{
    admission::{Admission, FILE_BYTES, Place},
    darkroom::Darkroom,
    drawing::{Kind, Refused, glimpse},
    keep::{Kept, keep_thumbnail},
    store::{delete_of_message, of_messages},
};

use crate::{
    error::Result,
    features::{Backend, Caller},
    limits::Limited,
};

/// Images that one message may show (contract 5.2), and one upload bring.
pub const IMAGES_MAX: usize = 5;

/// May the caller send an image now, of as many bytes as they announce? Asked before any of it is read.
pub async fn admit(backend: &Backend, caller: &Caller, announced: Option<u64>) -> Result<Place> {
    backend.limits.check(Limited::Upload, caller.user).await?;
    backend.blobs.expect_it_there()?;
    backend.admission.place(announced).await
}
