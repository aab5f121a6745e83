use std::time::Duration;

use clap::Args;
use shared::secret::Secret;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Redis")]
pub struct Redis {
    /// Redis, 6.2 or newer: the doorbell between replicas, and the limits they share.
    #[arg(
        id = "redis-url", long = "redis-url",
        env = "REDIS_URL",
        hide_env_values = true,
        value_parser = super::secret,
        value_name = "redis://host:port"
    )]
    pub url: Secret<String>,

    /// Put before every key and channel, so that several systems can share one Redis.
    #[arg(
        id = "redis-prefix",
        long = "redis-prefix",
        env = "REDIS_PREFIX",
        default_value = "messenger",
        value_name = "TEXT"
    )]
    pub prefix: String,

    /// How long to wait for an answer before going on without Redis.
    #[arg(id = "redis-timeout", long = "redis-timeout", env = "REDIS_TIMEOUT", default_value = "250ms",
          value_parser = humantime::parse_duration, value_name = "TIME")]
    pub timeout: Duration,

    /// Connections this replica opens at most, besides the one it listens on.
    #[arg(
        id = "redis-max-connections",
        long = "redis-max-connections",
        env = "REDIS_MAX_CONNECTIONS",
        default_value_t = 16,
        value_name = "NUMBER"
    )]
    pub max_connections: usize,
}
