//! One `cargo dev` at a time. The kernel releases the lock when its holder dies, however it dies, so
//! there is never a lock to clean up.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::place::Place;

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file is what releases the lock")] File);

/// Take the lock of this stack. When somebody else has it, `waiting` is called once, and then we wait.
pub(crate) fn take(place: &Place, waiting: impl FnOnce()) -> Result<Lock> {
    let path = place.dir.join("lock");
    let mut waiting = Some(waiting);
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| {
                let dir = place.dir.display();
                format!(
                    "cannot open {}. If it is from a run as root: sudo chown -R \"$(id -un)\" {dir}",
                    path.display()
                )
            })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                flock(&file, FlockOperation::LockExclusive)?;
            }
            other => other?,
        }
        // Somebody may have deleted the directory while we waited; then our lock guards nothing.
        let ours = file.metadata()?;
        match path.metadata() {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => return Ok(Lock(file)),
            _ => continue,
        }
    }
}
