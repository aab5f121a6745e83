//! Connections that open and end take turns: when thousands come back at once, they wait for each other, and not the messages of
//! everybody else for them.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Whose turn it is at once. Each asks the database several things, one after the other.
const AT_ONCE: usize = 6;

#[derive(Debug)]
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Turns {
    /// One's turn, until the answer is dropped. Nobody closes it, so there always is one.
    pub async fn take(&self) -> Option<SemaphorePermit<'_>> {
        self.0.acquire().await.ok()
    }
}
