//! Remove login sessions that ended long ago.

use std::sync::Arc;

use crate::{
    error::Result,
    features::{Backend, sessions},
};

pub(super) async fn expire_sessions(backend: Arc<Backend>) -> Result<()> {
    sessions::sweep(&backend).await
}
