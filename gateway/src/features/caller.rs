//! Who asks.

use std::net::IpAddr;

use shared::{SessionId, UserId};

/// Somebody who is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user: UserId,
    pub session: SessionId,
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
