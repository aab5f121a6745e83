//! Forget uploads that no message used.

use std::sync::Arc;

use crate::{
    error::Result,
    features::{Backend, media::sweep},
};

pub(super) async fn sweep_uploads(backend: Arc<Backend>) -> Result<()> {
    sweep::unused_uploads(&backend).await
}
