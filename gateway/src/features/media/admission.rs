//! Who may send an image now. Files are in memory from their first byte until they are stored, so there are never more bytes of
//! them than there is room for, however many people send at once. Whoever finds no room waits a moment, before any of their bytes
//! is read; then they are told to come back.

use std::{sync::Arc, time::Duration};

use shared::problem::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// A file may have this many bytes (contract 5.2).
pub const FILE_BYTES: usize = 10 * 1024 * 1024;
/// What is counted: nobody needs it finer.
const KIB: usize = 1024;
/// Room for nine of the largest files; what decoding takes comes on top, once for each thread of the darkroom.
const ROOM: usize = 96 * 1024 * KIB;
/// Decoding a small file may take as long as a large one, so it counts for so much at least: the room is a queue, too, and nobody
/// in it should wait for longer than people are patient.
const AT_LEAST: usize = 4 * 1024 * KIB;
const PATIENCE: Duration = Duration::from_secs(8);
const COME_BACK: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub struct Admission {
    room: Arc<Semaphore>,
    patience: Duration,
}

/// Room for one file. It lasts until its images are stored.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(ROOM / KIB)),
            patience: PATIENCE,
        }
    }
}

impl Admission {
    /// Room for a file of as many bytes as were announced; nobody knows, if nothing was.
    pub async fn place(&self, announced: Option<u64>) -> Result<Place> {
        let announced = announced.and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = announced.unwrap_or(FILE_BYTES).clamp(AT_LEAST, FILE_BYTES);
        let room = u32::try_from(bytes.div_ceil(KIB)).map_err(Error::internal)?;
        match tokio::time::timeout(self.patience, self.room.clone().acquire_many_owned(room)).await {
            Ok(permit) => Ok(Place {
                _permit: permit.map_err(Error::internal)?,
            }),
            Err(_) => Err(Error::TooMany {
                reason: Reason::Busy,
                retry_after: COME_BACK,
                limit: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_room_for_so_much_and_then_for_nobody() {
        let admission = Admission {
            patience: Duration::from_millis(200),
            ..Admission::default()
        };
        let mut places = Vec::new();
        for _ in 0..ROOM / FILE_BYTES {
            places.push(admission.place(Some(u64::MAX)).await.unwrap());
        }
        let refused = admission.place(None).await.unwrap_err();
        assert!(matches!(
            refused,
            Error::TooMany {
                reason: Reason::Busy,
                ..
            }
        ));
        let (next, ()) = tokio::join!(admission.place(None), async {
            tokio::time::sleep(admission.patience / 4).await;
            places.pop();
        });
        assert!(next.is_ok(), "whoever waits gets the room that becomes free");
        drop((places, next));
        let small =
            futures_util::future::join_all((0..ROOM / AT_LEAST).map(|_| admission.place(Some(1)))).await;
        assert!(small.iter().all(Result::is_ok));
        assert!(admission.place(Some(1)).await.is_err());
    }
}
