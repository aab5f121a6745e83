//! `cargo dev sqlx`: refresh the committed query data in `.sqlx/`, against which every build checks the
//! gateway's SQL. The compiler is asked once with a live database at hand, and the macros write down what
//! they learn from it.
//!
//! The schema is applied here and not by `gateway migrate`, because the gateway may not compile before
//! this is done.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

use super::cargo::cargo;
use super::place::Place;
use super::postgres::Postgres;
use super::progress::Progress;
use super::test_services;

/// With `check`, nothing is changed and a difference is an error.
pub fn run(place: &Place, check: bool) -> Result<()> {
    let progress = Progress::new();
    let tests = test_services::place()?;
    let were_up = test_services::are_up(&tests);
    let (postgres, _) = test_services::start(&tests)?;
    let result = prepare(place, &postgres, &progress).and_then(|fresh| {
        let committed = place.workspace.join(".sqlx");
        if check {
            compare(&committed, &fresh, &progress)
        } else {
            replace(&committed, &fresh, &progress)
        }
    });
    if !were_up {
        test_services::stop(&tests)?;
    }
    result
}

/// File name → content.
type QueryData = BTreeMap<String, Vec<u8>>;

fn prepare(place: &Place, postgres: &Postgres, progress: &Progress) -> Result<QueryData> {
    let database = format!("sqlx_{}", std::process::id());
    let dir = place.dir.join("sqlx").join(&database);
    postgres.run_in(super::cluster::DATABASE, &format!("CREATE DATABASE {database}"))?;
    let work = || -> Result<QueryData> {
        progress.step("applying the migrations", || {
            let count = migrate(postgres, &database, &place.workspace.join("migrations"))?;
            Ok(((), format!("{count} files")))
        })?;
        fs::create_dir_all(&dir)?;
        progress.say("asking the compiler about every query");
        expand(place, &postgres.url_of(&database), &dir)?;
        read(&dir)
    };
    let result = work();
    let _ = fs::remove_dir_all(&dir);
    postgres.run_in(
        super::cluster::DATABASE,
        &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
    )?;
    result
}

/// Each file in a transaction, unless it begins as sqlx wants it for those that cannot run in one.
fn migrate(postgres: &Postgres, database: &str, dir: &Path) -> Result<usize> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .with_context(|| format!("no migrations in {}", dir.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    for file in &files {
        let sql = fs::read_to_string(file)?;
        let sql = if sql.starts_with("-- no-transaction") {
            sql
        } else {
            format!("BEGIN;\n{sql}\nCOMMIT;\n")
        };
        postgres
            .run_in(database, &sql)
            .with_context(|| format!("{} failed", file.display()))?;
    }
    Ok(files.len())
}

/// Let the macros of the gateway run once more, with a database to ask.
fn expand(place: &Place, database_url: &str, dir: &Path) -> Result<()> {
    // Cargo believes that nothing has changed. New dates on the crates' roots make it look again, and the
    // old dates come back afterwards, so that no other build has to.
    let touched = Touched::new(
        ["src/lib.rs", "src/main.rs", "tests/it/main.rs"]
            .map(|file| place.workspace.join("gateway").join(file)),
    )?;
    let status = cargo(place)
        .args(["check", "--workspace", "--all-targets"])
        .env("DATABASE_URL", database_url)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", dir)
        .status()
        .context("cannot run cargo")?;
    drop(touched);
    if !status.success() {
        bail!(
            "the gateway does not compile against the migrated schema: mend the code, the query or the migration named above"
        );
    }
    Ok(())
}

/// Files whose modification time is now, and will be the old one again.
struct Touched {
    files: Vec<(PathBuf, SystemTime)>,
    now: SystemTime,
}

impl Touched {
    fn new(paths: impl IntoIterator<Item = PathBuf>) -> Result<Self> {
        let mut touched = Self {
            files: Vec::new(),
            now: SystemTime::now(),
        };
        for path in paths.into_iter().filter(|path| path.exists()) {
            let before = path.metadata()?.modified()?;
            let file = File::options().append(true).open(&path)?;
            file.set_modified(touched.now)
                .with_context(|| format!("cannot touch {}", path.display()))?;
            // What the file system remembers may be coarser than what we said.
            touched.now = path.metadata()?.modified()?;
            touched.files.push((path, before));
        }
        Ok(touched)
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        for (path, before) in &self.files {
            let unchanged = path
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|now| now == self.now);
            if unchanged && let Ok(file) = File::options().append(true).open(path) {
                let _ = file.set_modified(*before);
            }
        }
    }
}

fn read(dir: &Path) -> Result<QueryData> {
    let mut data = QueryData::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && let Some(name) = path.file_name()
        {
            data.insert(name.to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(data)
}

/// What is new, gone, or different, in words for people: the SQL itself.
fn differences(committed: &QueryData, fresh: &QueryData) -> Vec<String> {
    let sql = |content: &[u8]| -> String {
        let data: serde_json::Value = serde_json::from_slice(content).unwrap_or_default();
        let sql = data["query"]
            .as_str()
            .unwrap_or("?")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        sql.chars().take(100).collect()
    };
    let new = fresh
        .iter()
        .filter(|(name, _)| !committed.contains_key(*name))
        .map(|(_, data)| ("new", data));
    let gone = committed
        .iter()
        .filter(|(name, _)| !fresh.contains_key(*name))
        .map(|(_, data)| ("gone", data));
    let other = fresh
        .iter()
        .filter(|(name, data)| committed.get(*name).is_some_and(|old| old != *data))
        .map(|(_, data)| ("different", data));
    new.chain(gone)
        .chain(other)
        .map(|(what, data)| format!("{what}: {}", sql(data)))
        .collect()
}

fn compare(committed: &Path, fresh: &QueryData, progress: &Progress) -> Result<()> {
    let differences = differences(&read(committed)?, fresh);
    if !differences.is_empty() {
        bail!(
            "the committed query data is not what the code asks for:\n    {}\nRun `cargo dev sqlx` and commit `.sqlx/`",
            differences.join("\n    ")
        );
    }
    progress.say(&format!("all {} queries are as committed", fresh.len()));
    Ok(())
}

fn replace(committed: &Path, fresh: &QueryData, progress: &Progress) -> Result<()> {
    let old = read(committed)?;
    let differences = differences(&old, fresh);
    fs::create_dir_all(committed)?;
    for (name, data) in fresh.iter().filter(|(name, data)| old.get(*name) != Some(*data)) {
        fs::write(committed.join(name), data)?;
    }
    for name in old.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(committed.join(name))?;
    }
    for line in &differences {
        progress.say(line);
    }
    progress.say(&format!(
        "{} queries, {} changes; commit `.sqlx/` with the code",
        fresh.len(),
        differences.len()
    ));
    Ok(())
}
