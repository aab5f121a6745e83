//! Remove login sessions that ended long ago, and what was noted about their broken connections.

use std::sync::Arc;

use crate::{
    error::Result,
    features::{Backend, sessions},
};

pub(super) async fn expire_sessions(backend: Arc<Backend>) -> Result<()> {
    sessions::sweep(&backend).await?;
    sessions::broken_lines::forget_old(&backend).await
}
