//! `cargo dev logs`: what the services wrote, each line under its service's name.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};

use super::place::Place;
use super::process::tail;
use super::services::ALL;

#[derive(Debug, Default)]
pub struct Options {
    /// Which services; none means all.
    pub services: Vec<String>,
    /// How many of the last lines of each.
    pub lines: usize,
    pub follow: bool,
}

pub fn run(place: &Place, options: &Options) -> Result<()> {
    let names: Vec<&str> = ALL
        .iter()
        .map(|service| service.name)
        .chain(["migrate"])
        .collect();
    if let Some(unknown) = options
        .services
        .iter()
        .find(|asked| !names.iter().any(|name| name.starts_with(asked.as_str())))
    {
        bail!("there is no service `{unknown}`; there are {}", names.join(", "));
    }
    // `logs gateway` means both of them.
    let wanted = |name: &str| {
        options.services.is_empty()
            || options
                .services
                .iter()
                .any(|asked| name.starts_with(asked.as_str()))
    };
    let mut logs: Vec<Log> = names
        .into_iter()
        .filter(|name| wanted(name))
        .map(|name| Log::new(place, name))
        .collect();
    for log in &mut logs {
        let text = tail(&log.path, options.lines);
        log.at = log.path.metadata().map_or(0, |meta| meta.len());
        log.inode = log.path.metadata().map_or(0, |meta| meta.ino());
        if !log.print(text.lines())? {
            return Ok(());
        }
    }
    if !options.follow {
        return Ok(());
    }
    loop {
        for log in &mut logs {
            let lines = log.fresh()?;
            if !log.print(lines.iter().map(String::as_str))? {
                return Ok(());
            }
        }
        sleep(Duration::from_millis(200));
    }
}

struct Log {
    name: String,
    path: PathBuf,
    at: u64,
    inode: u64,
}

impl Log {
    fn new(place: &Place, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: place.log(name),
            at: 0,
            inode: 0,
        }
    }

    /// Whole lines that were written since the last look; a new file is read from its beginning.
    fn fresh(&mut self) -> Result<Vec<String>> {
        let Ok(mut file) = File::open(&self.path) else {
            return Ok(Vec::new());
        };
        let meta = file.metadata()?;
        if meta.ino() != self.inode || meta.len() < self.at {
            (self.at, self.inode) = (0, meta.ino());
        }
        file.seek(SeekFrom::Start(self.at))?;
        let mut reader = BufReader::new(file);
        let mut lines = Vec::new();
        loop {
            let mut bytes = Vec::new();
            let length = reader.read_until(b'\n', &mut bytes)?;
            if bytes.last() != Some(&b'\n') {
                return Ok(lines);
            }
            self.at += u64::try_from(length)?;
            lines.push(String::from_utf8_lossy(&bytes).trim_end().to_owned());
        }
    }

    /// Says whether anybody still reads.
    fn print<'a>(&self, lines: impl Iterator<Item = &'a str>) -> Result<bool> {
        let mut out = std::io::stdout().lock();
        for line in lines {
            match writeln!(out, "{:<9} | {line}", self.name) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(false),
                other => other?,
            }
        }
        Ok(true)
    }
}
