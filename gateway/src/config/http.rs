use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use ipnet::IpNet;

pub const OPS_LISTEN: &str = "127.0.0.1:3001";

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub struct Http {
    /// Where clients are served: REST and live connections.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:3000", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Where machines are served: /metrics, /health/live and /health/ready. Keep it off the internet.
    #[arg(
        long,
        env = "OPS_LISTEN",
        default_value = OPS_LISTEN,
        value_name = "ADDRESS"
    )]
    pub ops_listen: SocketAddr,

    /// The address under which browsers reach this server; image addresses begin with it.
    #[arg(
        long,
        env = "PUBLIC_URL",
        default_value = "http://localhost:3000",
        value_name = "URL"
    )]
    pub public_url: String,

    /// Serve TLS (1.3 only) with this certificate and its chain, a PEM file; without it, plain HTTP for the proxy in front. Read again
    /// when it changes, and on SIGHUP.
    #[arg(long, env = "TLS_CERTIFICATE", requires = "tls_key", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,

    /// The certificate's key, a PEM file.
    #[arg(long, env = "TLS_KEY", requires = "tls_certificate", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Origins whose pages may call this server and connect to it, exact and comma separated.
    #[arg(
        long,
        env = "CORS_ORIGINS",
        default_value = "http://localhost:5173,http://localhost,http://localhost:8080",
        value_delimiter = ',',
        value_name = "ORIGINS",
        value_parser = origin
    )]
    pub cors_origins: Vec<String>,

    /// Networks of the proxies in front, comma separated, such as 10.0.0.0/8,fd00::/8: only they are believed about X-Forwarded-For.
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',', value_name = "NETWORKS")]
    pub trusted_proxies: Vec<IpNet>,

    /// After SIGTERM: how long to go on accepting while the balancer learns that this replica is leaving.
    #[arg(long, env = "DRAIN_DELAY", default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub drain_delay: Duration,

    /// After the drain delay: how long requests may take to finish before they are cut off.
    #[arg(long, env = "SHUTDOWN_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub shutdown_timeout: Duration,
}

impl Http {
    /// Whose pages are ours: those that are named, and those that come from where we do.
    pub fn origins(&self) -> Vec<String> {
        let (scheme, rest) = self.public_url.split_once("://").unwrap_or_default();
        let own = rest.split('/').next().map(|host| format!("{scheme}://{host}"));
        let origins = self.cors_origins.iter().cloned().chain(own);
        origins.map(|origin| as_browsers_write(&origin)).collect()
    }

    /// Do browsers reach this server over HTTPS only?
    pub fn is_https(&self) -> bool {
        self.tls_certificate.is_some() || self.public_url.starts_with("https://")
    }
}

/// In lower case, and without the port that goes without saying.
fn as_browsers_write(origin: &str) -> String {
    let origin = origin.to_ascii_lowercase();
    let usual = if origin.starts_with("https:") {
        ":443"
    } else {
        ":80"
    };
    origin.strip_suffix(usual).unwrap_or(&origin).to_owned()
}

fn origin(text: &str) -> Result<String, &'static str> {
    let origin = text.trim().trim_end_matches('/');
    let host = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
    };
    if origin == "*" || host.is_some_and(is_host) {
        return Ok(origin.to_owned());
    }
    Err("write origins as a browser does: http://host or https://host:port, without a path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_write_them() {
        for (written, told) in [
            ("https://Chat.Example:443", "https://chat.example"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:443", "http://localhost:443"),
            ("https://chat.example:8443", "https://chat.example:8443"),
            ("*", "*"),
        ] {
            assert_eq!(as_browsers_write(&origin(written).unwrap()), told);
        }
    }
}
