//! Who asks.

use std::net::{IpAddr, Ipv6Addr};

use shared::{SessionId, UserId};

/// Somebody who is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user: UserId,
    pub session: SessionId,
    pub way: Way,
}

/// How somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a request that gets one answer. Their own sockets must not be told before that has been written (contract 3.9).
    Request,
    /// Over the live connection on which they are told what happens.
    Live,
}

/// Somebody who is not, or not yet.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The address they come from, behind proxies that we trust.
    pub address: IpAddr,
    /// What their device calls itself.
    pub device_name: Option<String>,
    pub user_agent: Option<String>,
}

impl Visitor {
    /// Whom a limit by address counts: the address, or the network of an IPv6 one, because whoever has one has all of its /64.
    pub fn network(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => self.address,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        }
    }
}
