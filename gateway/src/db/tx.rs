//! The only way to change something.

use sqlx::{PgConnection, Postgres, Transaction};

use crate::error::Result;

/// A change under way. Dropping it undoes all.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Postgres>,
}

impl Tx {
    pub(super) fn new(inner: Transaction<'static, Postgres>) -> Self {
        Self { inner }
    }

    /// Where statements of this change run.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub async fn commit(self) -> Result<()> {
        Ok(self.inner.commit().await?)
    }
}
