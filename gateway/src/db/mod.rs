//! PostgreSQL: the truth.

mod constraint;
pub mod log;
mod tx;

use std::{str::FromStr, sync::Arc, time::Duration};

use anyhow::Context;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use sqlx::{
    ConnectOptions, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::{info, warn};

pub use self::{
    constraint::OnConstraint,
    tx::{Place, Tx},
};
use crate::{
    bus::Bus,
    config,
    error::Result,
    lifecycle::Tasks,
    telemetry::metrics::{self, Metrics},
};

/// The migrations that are built in. While a deploy rolls, an old replica may meet a schema that is newer than itself.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations");
    migrator.set_ignore_missing(true);
    migrator
}

/// How long a starting replica waits for a database that is still starting itself.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Db {
    pool: PgPool,
}

impl Db {
    /// Open the pool. A database that is not there yet is waited for.
    pub async fn connect(config: &config::Database) -> anyhow::Result<Self> {
        let options = options(config)?;
        wait_for(&options).await?;
        let millis = config.statement_timeout.as_millis().to_string();
        let options = options.options([
            ("statement_timeout", millis.as_str()),
            ("idle_in_transaction_session_timeout", millis.as_str()),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            // The first crowd after a start finds some open.
            .min_connections(config.max_connections.min(4))
            .acquire_timeout(config.acquire_timeout)
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    /// For reading. What changes something goes through a transaction.
    pub fn read(&self) -> &PgPool {
        &self.pool
    }

    pub async fn begin(&self, bus: &Bus, tasks: &Tasks, metrics: &Arc<Metrics>) -> Result<Tx> {
        let inner = self.pool.begin().await?;
        Ok(Tx::new(inner, bus.clone(), tasks.clone(), metrics.clone()))
    }

    /// Does the database answer, and can it be written to?
    pub async fn check(&self) -> Result<()> {
        let read_only = sqlx::query_scalar!(r#"select pg_is_in_recovery() as "read_only!""#)
            .fetch_one(&self.pool)
            .await?;
        if read_only {
            Err(crate::Error::unavailable("PostgreSQL is a read-only replica"))
        } else {
            Ok(())
        }
    }

    pub fn collector(&self) -> Box<dyn Collector> {
        Box::new(PoolGauges(self.pool.clone()))
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Bring the schema up to date. Replicas that start together take turns by an advisory lock.
pub async fn migrate(config: &config::Database) -> anyhow::Result<()> {
    let options = options(config)?;
    wait_for(&options).await?;
    let mut connection = options.connect().await.context("cannot connect to PostgreSQL")?;
    let migrator = migrator();
    migrator
        .run(&mut connection)
        .await
        .context("cannot migrate the database")?;
    info!(migrations = migrator.iter().count(), "The database is up to date");
    Ok(())
}

fn options(config: &config::Database) -> anyhow::Result<PgConnectOptions> {
    // The address holds a password, so it is not repeated in the error.
    let options = PgConnectOptions::from_str(config.url.expose())
        .context("DATABASE_URL is not an address like postgres://user:password@host:5432/name")?;
    Ok(options
        .application_name("gateway")
        .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1)))
}

async fn wait_for(options: &PgConnectOptions) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let error = match options.connect().await {
            Ok(connection) => {
                let _ = sqlx::Connection::close(connection).await;
                return Ok(());
            }
            // It is there and said no: waiting will not help.
            Err(error @ sqlx::Error::Database(_)) if !starting(&error) => {
                return Err(error).context("PostgreSQL refuses us: check DATABASE_URL");
            }
            Err(error) => error,
        };
        let (host, port) = (options.get_host(), options.get_port());
        if tokio::time::Instant::now() > deadline {
            return Err(error).with_context(|| {
                format!("no PostgreSQL at {host}:{port}: start it, or correct DATABASE_URL")
            });
        }
        warn!(host, port, %error, "Waiting for PostgreSQL");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn starting(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "57P03")
}

#[derive(Debug)]
struct PoolGauges(PgPool);

impl Collector for PoolGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let open = i64::from(self.0.size());
        let idle = i64::try_from(self.0.num_idle()).unwrap_or(i64::MAX);
        metrics::gauge(
            &mut encoder,
            "database_connections_open",
            "Connections to PostgreSQL",
            open,
        )?;
        metrics::gauge(
            &mut encoder,
            "database_connections_idle",
            "Connections that nobody uses",
            idle,
        )
    }
}
