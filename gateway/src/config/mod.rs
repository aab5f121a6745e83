//! Every setting of the gateway: an environment variable, a flag, a default, a sentence in `--help`.
//!
//! One file per section. `.env.example` is written from this definition, and a test keeps it that way.

mod auth;
mod database;
mod http;
mod images;
mod limits;
mod redis;
mod storage;
mod telemetry;

use clap::Args;
use shared::secret::Secret;

pub use self::{
    auth::Auth,
    database::Database,
    http::{Http, OPS_LISTEN},
    images::Images,
    limits::{Limits, Rate, Switch},
    redis::Redis,
    storage::Storage,
    telemetry::{LogFormat, Telemetry},
};

#[derive(Clone, Debug, Args)]
pub struct Config {
    #[command(flatten)]
    pub http: Http,
    #[command(flatten)]
    pub database: Database,
    #[command(flatten)]
    pub redis: Redis,
    #[command(flatten)]
    pub storage: Storage,
    #[command(flatten)]
    pub images: Images,
    #[command(flatten)]
    pub auth: Auth,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub telemetry: Telemetry,
}

impl Config {
    /// What is allowed but should not surprise anybody in production.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.limits.rate_limits == Switch::Off {
            warnings
                .push("RATE_LIMITS=off: every limit is off, passwords can be guessed without end".to_owned());
        }
        if self.auth.bcrypt_cost < 10 {
            warnings.push(format!(
                "BCRYPT_COST={}: stolen password hashes are cheap to break; use 12 outside of tests",
                self.auth.bcrypt_cost
            ));
        }
        if self.http.trusted_proxies.iter().any(|net| net.prefix_len() == 0) {
            warnings.push("TRUSTED_PROXIES trusts everybody: clients can claim any address".to_owned());
        }
        if self.http.tls_certificate.is_some() && !self.http.public_url.starts_with("https://") {
            warnings.push("PUBLIC_URL does not begin with https:// although TLS_CERTIFICATE is set: pages served over TLS do not show images from there".to_owned());
        }
        if self.http.cors_origins.iter().any(|origin| origin == "*") {
            warnings.push("CORS_ORIGINS=*: pages of any site may call this server".to_owned());
        }
        if self.auth.access_token_ttl > self.auth.refresh_token_ttl {
            warnings.push(
                "ACCESS_TOKEN_TTL is longer than REFRESH_TOKEN_TTL: sessions end before their tokens"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// For clap: a value that no log and no error message shows.
fn secret(text: &str) -> Result<Secret<String>, &'static str> {
    Ok(Secret::new(text.to_owned()))
}
