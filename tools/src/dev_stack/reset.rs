//! `cargo dev reset`: stop everything and forget everything, as if the stack had never been.

use std::fs;

use anyhow::{Context as _, Result};

use super::cluster;
use super::lock;
use super::place::Place;
use super::progress::Progress;
use super::services;
use super::test_services;

pub fn run(place: &Place, tests_too: bool) -> Result<()> {
    let progress = Progress::new();
    let lock = lock::take(place, || {
        progress.say("waiting for another `cargo dev` in this clone to finish");
    })?;
    progress.step("stopping", || {
        let stopped = services::stop_all(place)?;
        Ok(((), format!("{} service(s)", stopped.len())))
    })?;
    let tests = place.dir.join("test");
    if tests_too && tests.exists() {
        let tests = place.tests()?;
        test_services::stop(&tests)?;
        remove(&cluster::elsewhere(&tests))?;
    }
    progress.step("deleting", || {
        remove(&cluster::elsewhere(place))?;
        for entry in fs::read_dir(&place.dir)? {
            let path = entry?.path();
            // The lock is still ours, and a test run may be under way.
            if path.file_name().is_some_and(|name| name == "lock") || (path == tests && !tests_too) {
                continue;
            }
            remove(&path)?;
        }
        Ok(((), format!("everything in {}", place.short(&place.dir))))
    })?;
    drop(lock);
    Ok(())
}

fn remove(path: &std::path::Path) -> Result<()> {
    let gone = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    gone.with_context(|| {
        format!(
            "cannot delete {}: if it belongs to root, use sudo",
            path.display()
        )
    })
}
