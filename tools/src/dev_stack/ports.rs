//! Ports that nobody else uses. They come from below the range that the kernel hands out for outgoing
//! connections, so that a port which was free yesterday is still free when the stack comes back.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result};

use super::place::Place;
use super::process::pids;
use super::state::State;

const RANGE: std::ops::Range<u16> = 20_000..30_000;

/// Whether both loopback addresses have this port to give (the IPv6 one only where there is one).
pub(crate) fn is_free(port: u16) -> bool {
    let free = |address: SocketAddr| TcpListener::bind(address).is_ok();
    free((Ipv4Addr::LOCALHOST, port).into()) && (!has_ipv6() || free((Ipv6Addr::LOCALHOST, port).into()))
}

/// Whether this machine has an IPv6 loopback, which is where `localhost` leads first.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The remembered port of a service when it is still free, otherwise another one, remembered from now on.
pub(crate) fn for_service(place: &Place, state: &mut State, service: &str) -> Result<u16> {
    if let Some(port) = state.ports.get(service)
        && is_free(*port)
    {
        return Ok(*port);
    }
    // Two clones begin their search at different places.
    let mut hasher = DefaultHasher::new();
    (&place.dir, service).hash(&mut hasher);
    let length = u64::from(RANGE.end - RANGE.start);
    let start = hasher.finish() % length;
    let port = (0..length)
        .filter_map(|step| u16::try_from((start + step) % length).ok())
        .map(|offset| RANGE.start + offset)
        .find(|port| !state.ports.values().any(|taken| taken == port) && is_free(*port))
        .context("there is no free port between 20000 and 30000 on 127.0.0.1")?;
    state.ports.insert(service.to_owned(), port);
    state.save(place)?;
    Ok(port)
}

/// Who listens on a port, as far as we may know: `node (pid 4711)`.
pub(crate) fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| {
            fs::read_to_string(table)
                .unwrap_or_default()
                .lines()
                .skip(1)
                .filter_map(|line| listener(line, port))
                .collect::<Vec<_>>()
        })
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let pid = pids().find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (pid {pid})", name.trim()))
}

/// The inode of a listening socket in a line of /proc/net/tcp.
fn listener(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, hex) = fields.get(1)?.rsplit_once(':')?;
    let matches = u16::from_str_radix(hex, 16) == Ok(port) && *fields.get(3)? == LISTEN;
    matches.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{holder, is_free};

    #[test]
    fn a_port_in_use_is_not_free_and_has_a_holder() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        assert!(!is_free(port));
        let holder = holder(port).expect("this very process");
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    }
}
