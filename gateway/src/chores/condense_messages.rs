//! Condense messages that have become many, for searching.

use std::sync::Arc;

use crate::{
    error::Result,
    features::{Backend, search::condense},
};

pub(super) async fn condense_messages(backend: Arc<Backend>) -> Result<()> {
    condense::condense(&backend).await
}
