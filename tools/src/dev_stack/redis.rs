//! A private Redis. It keeps nothing on disk: for the messenger it is a doorbell, not a memory.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::place::Place;
use super::ports;
use super::process::{self, Farewell, Job, Running};
use super::programs;
use super::state::State;

pub(crate) const SERVICE: &str = "redis";
pub(crate) const FAREWELL: Farewell = &[(Signal::TERM, Duration::from_secs(5))];

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) port: u16,
    pub(crate) url: String,
}

/// Make sure that it runs.
pub(crate) fn ensure(place: &Place, state: &mut State) -> Result<Redis> {
    let program = programs::find("redis-server").context(
        "redis-server is not installed: `cargo dev up` can install it, or `apt-get install redis-server`",
    )?;
    let home = place.dir.join("redis");
    fs::create_dir_all(&home)?;
    let job = |port: u16| {
        let mut job = Job::new(SERVICE, &program, &home)
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--daemonize",
                "no",
            ])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .args([home.as_os_str()]);
        // A title of its own would overwrite the mark by which a lost process is found.
        if programs::version(&program, "--version").is_some_and(|version| knows_titles(&version)) {
            job = job.args(["--set-proc-title", "no"]);
        }
        job
    };
    if let (Some(port), Some(running)) = (state.ports.get(SERVICE).copied(), Running::find(place, SERVICE))
        && running.follows(&job(port))
        && is_ready(port)
    {
        return Ok(redis(port));
    }
    process::stop(place, SERVICE, FAREWELL)?;
    let port = ports::for_service(place, state, SERVICE)?;
    let running = job(port).start(place)?;
    running.wait_until(place, SERVICE, Duration::from_secs(20), || is_ready(port))?;
    Ok(redis(port))
}

fn redis(port: u16) -> Redis {
    Redis {
        port,
        url: format!("redis://127.0.0.1:{port}"),
    }
}

/// It says PONG.
pub(crate) fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let wait = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), wait)?;
        stream.set_read_timeout(Some(wait))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    };
    ask().unwrap_or(false)
}

/// Say something to it, in words without spaces, and take the first line of the answer.
pub(crate) fn say(port: u16, command: &str) -> Result<String> {
    let wait = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), wait)?;
    stream.set_read_timeout(Some(wait))?;
    write!(stream, "{command}\r\n")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.trim_end().strip_prefix('-') {
        Some(error) => bail!("Redis says to {command}: {error}"),
        None => Ok(answer.trim_end().to_owned()),
    }
}

/// `Redis server v=7.0.15 …`: the setting came with 6.2.
fn knows_titles(version: &str) -> bool {
    let number = version
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="))
        .unwrap_or_default();
    let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (6, 2)
}

#[cfg(test)]
mod tests {
    use super::knows_titles;

    #[test]
    fn titles_came_with_6_2() {
        assert!(knows_titles(
            "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64"
        ));
        assert!(!knows_titles("Redis server v=6.0.16 sha=00000000:0"));
    }
}
