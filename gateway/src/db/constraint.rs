//! A violated constraint is an answer, given at the query.

use shared::problem::Reason;

use crate::error::{Error, Result};

pub trait OnConstraint<T> {
    /// If the statement broke the constraint of this name, that is the conflict `reason`.
    fn on_constraint(self, name: &str, reason: Reason) -> Result<T>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_constraint(self, name: &str, reason: Reason) -> Result<T> {
        self.map_err(
            |error| match error.as_database_error().and_then(|error| error.constraint()) {
                Some(broken) if broken == name => Error::Conflict(reason),
                _ => error.into(),
            },
        )
    }
}
