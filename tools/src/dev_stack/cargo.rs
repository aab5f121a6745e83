//! Cargo and scripts that call it, started from a program that cargo runs.

use std::env;
use std::process::Command;

use super::place::Place;

/// `cargo` in the workspace.
pub(crate) fn cargo(place: &Place) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&place.workspace);
    forget_our_package(&mut command);
    command
}

/// Take away what the outer cargo said about *our* package. Build scripts that watch these variables
/// would run again for nothing.
pub(crate) fn forget_our_package(command: &mut Command) {
    let about_us = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
        "CARGO_PRIMARY_",
    ];
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if about_us.iter().any(|prefix| name.starts_with(prefix)) || name == "OUT_DIR" {
            command.env_remove(&*name);
        }
    }
}
