//! Remove images that nothing refers to from the object storage.

use std::sync::Arc;

use crate::{
    error::Result,
    features::{Backend, media::sweep},
};

pub(super) async fn remove_images(backend: Arc<Backend>) -> Result<()> {
    sweep::forgotten_blobs(&backend).await
}
