use std::time::Duration;

use clap::{ArgAction, Args};
use shared::secret::Secret;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct Database {
    /// PostgreSQL, 14 or newer.
    #[arg(
        id = "database-url", long = "database-url",
        env = "DATABASE_URL",
        hide_env_values = true,
        value_parser = super::secret,
        value_name = "postgres://user:password@host/name"
    )]
    pub url: Secret<String>,

    /// Connections this replica opens at most. Two of them are for sending messages alone.
    #[arg(id = "database-max-connections", long = "database-max-connections", env = "DATABASE_MAX_CONNECTIONS", default_value_t = 20, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(3..))]
    pub max_connections: u32,

    /// How long a request waits for a free connection before it is told to come back.
    #[arg(id = "database-acquire-timeout", long = "database-acquire-timeout", env = "DATABASE_ACQUIRE_TIMEOUT", default_value = "3s",
          value_parser = humantime::parse_duration, value_name = "TIME")]
    pub acquire_timeout: Duration,

    /// How long a single statement may run.
    #[arg(id = "database-statement-timeout", long = "database-statement-timeout", env = "DATABASE_STATEMENT_TIMEOUT", default_value = "10s",
          value_parser = humantime::parse_duration, value_name = "TIME")]
    pub statement_timeout: Duration,

    /// Bring the schema up to date at start. Safe when several replicas start at once.
    #[arg(long = "migrate-on-start", env = "MIGRATE_ON_START", default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub migrate_on_start: bool,
}
