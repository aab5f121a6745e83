//! Who may import whom. The picture is in `gateway/README.md`; this is what keeps it true.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Each room, and the rooms of ours that it may use. What belongs to no room (`error`, `clock`, …) may be used by all.
const ROOMS: [(&str, &[&str]); 7] = [
    ("db", &["bus"]),
    ("bus", &[]),
    ("limits", &[]),
    ("features", &["db", "bus", "limits"]),
    ("fanout", &["db", "bus"]),
    ("doors", &["features", "fanout"]),
    ("chores", &["features", "db", "bus", "limits"]),
];

/// Crates that only some rooms may see.
const CRATES: [(&str, &[&str]); 5] = [
    ("sqlx", &["db", "features", "fanout", "error"]),
    ("redis", &["bus", "limits", "features"]),
    ("deadpool_redis", &["bus", "limits"]),
    ("axum", &["doors"]),
    ("socketioxide", &["doors"]),
];

#[test]
fn rooms_import_only_what_they_may() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some(room) = room_of(&file) else { continue };
        for (number, line) in text.lines().enumerate() {
            let at = format!("{}:{}", file.display(), number + 1);
            if let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) {
                for (other, _) in ROOMS
                    .iter()
                    .filter(|(other, _)| *other != room && !allowed.contains(other))
                {
                    if uses_room(line, other) {
                        wrong.push(format!("{at}: `{room}` must not use `{other}`: {}", line.trim()));
                    }
                }
            }
            for (name, allowed) in CRATES {
                // Settings have sections of the same names.
                if room == "config" {
                    continue;
                }
                if uses_crate(line, name) && room != "app" && !allowed.contains(&room.as_str()) {
                    wrong.push(format!("{at}: `{room}` must not see `{name}`: {}", line.trim()));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "see the table in gateway/README.md\n{}",
        wrong.join("\n")
    );
}

/// Features read each other through public functions, never each other's SQL.
#[test]
fn stores_are_private() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if line.contains("pub mod store") || line.contains("pub(crate) mod store") {
                wrong.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "a store belongs to its feature alone: {wrong:?}"
    );
}

#[test]
fn there_is_no_attic() {
    let attics = [
        "utils", "util", "helpers", "common", "misc", "types", "models", "services",
    ];
    for (file, _) in sources() {
        for part in file.iter().filter_map(|part| part.to_str()) {
            let name = part.trim_end_matches(".rs");
            assert!(
                !attics.contains(&name),
                "{}: a function without a home is a noun not yet named",
                file.display()
            );
        }
    }
}

/// `use crate::db`, `crate::db::…`, and `db::` in a grouped `use crate::{…}`.
fn uses_room(line: &str, room: &str) -> bool {
    let line = line.trim_start();
    if line.starts_with("//") {
        return false;
    }
    let direct = line.contains(&format!("crate::{room}::")) || line.contains(&format!("crate::{room};"));
    let grouped = line.starts_with(&format!("{room}::")) || line.contains(&format!("crate::{{{room}::"));
    direct || grouped
}

fn uses_crate(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let path = format!("{name}::");
    let Some(at) = line.find(&path) else { return false };
    let before = line[..at].chars().next_back();
    !line.starts_with("//") && !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
}

/// The room of a file: its first folder, or its own name.
fn room_of(file: &Path) -> Option<String> {
    let room = file.iter().next()?.to_str()?.trim_end_matches(".rs").to_owned();
    (!["lib", "main"].contains(&room.as_str())).then_some(room)
}

/// Every source file of the gateway, by its path below `src`.
fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(
                    path.strip_prefix(&root).unwrap().to_owned(),
                    fs::read_to_string(&path).unwrap(),
                );
            }
        }
    }
    assert!(found.len() > 20, "the sources are not where this test looks");
    found
}

#[test]
fn the_test_sees_what_it_should() {
    assert!(uses_room("use crate::db::Tx;", "db") && uses_room("    db::{Db, Tx},", "db"));
    assert!(uses_room("use crate::{db::Db, error::Result};", "db"));
    assert!(!uses_room("    // crate::db::Tx", "db") && !uses_room("let x = mydb::y();", "db"));
    assert!(uses_crate("sqlx::query!(", "sqlx") && !uses_crate("use deadpool_redis::Pool;", "redis"));
    assert_eq!(room_of(Path::new("db/mod.rs")).as_deref(), Some("db"));
    assert_eq!(room_of(Path::new("error.rs")).as_deref(), Some("error"));
}
