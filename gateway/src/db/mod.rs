//! PostgreSQL: the truth.

mod at_once;
mod constraint;
mod lane;
pub mod log;
mod tx;

use std::{io, str::FromStr, sync::Arc, time::Duration};

use anyhow::Context;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Row,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;
use tracing::{info, warn};

pub use self::{
    at_once::AtOnce,
    constraint::OnConstraint,
    lane::Lanes,
    tx::{Place, Tx},
};
use self::{at_once::Kept, lane::LANES};
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

/// How long a connection that was used may take to say that it still works. One whose server vanished without a word would
/// otherwise keep its place in the pool for a quarter of an hour.
const PROOF_OF_LIFE: Duration = Duration::from_secs(5);

/// How long a starting replica waits for a database that is still starting itself.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Db {
    pool: PgPool,
    kept: Kept,
    /// Longer than PostgreSQL itself lets a statement run: whoever has not answered by then is not there any more.
    patience: Duration,
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
        let shared = (config.max_connections - LANES as u32).max(1);
        let pool = PgPoolOptions::new()
            .max_connections(shared)
            // The first crowd after a start finds some open.
            .min_connections(shared.min(4))
            .acquire_timeout(config.acquire_timeout)
            .after_release(|connection, _| {
                Box::pin(async {
                    let answer = timeout(PROOF_OF_LIFE, is_free(connection)).await;
                    answer.unwrap_or(Err(silent()))
                })
            })
            .connect_lazy_with(options.clone());
        Ok(Self {
            pool,
            kept: Kept::new(options, config.statement_timeout),
            patience: config.statement_timeout + PROOF_OF_LIFE,
        })
    }

    /// For reading. What changes something goes through a transaction.
    pub fn read(&self) -> &PgPool {
        &self.pool
    }

    pub async fn begin(&self, bus: &Bus, tasks: &Tasks, metrics: &Arc<Metrics>) -> Result<Tx> {
        let inner = self.pool.begin().await?;
        Ok(Tx::new(
            inner,
            self.patience,
            bus.clone(),
            tasks.clone(),
            metrics.clone(),
        ))
    }

    /// Begin a change that is one statement.
    pub async fn at_once(&self, bus: &Bus, metrics: &Arc<Metrics>) -> Result<AtOnce> {
        self.kept.change(bus, metrics).await
    }

    /// For whoever asks on nobody's behalf, and would wait for ever for a server that vanished without a word.
    async fn in_time<T>(&self, answer: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
        Ok(timeout(self.patience, answer).await.unwrap_or(Err(silent()))?)
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
        self.kept.close();
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
                let _ = connection.close().await;
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

/// Whoever gives up while BEGIN is on its way leaves a transaction open that the library does not know of. What the next one writes
/// without a transaction of their own would never be committed, so such a connection is closed. One that says nothing is, too.
async fn is_free(connection: &mut PgConnection) -> sqlx::Result<bool> {
    // In one message, or the statement would be younger than its own transaction.
    let answer = sqlx::raw_sql("select now() = statement_timestamp()")
        .fetch_one(connection)
        .await?;
    answer.try_get(0)
}

fn silent() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(
        io::ErrorKind::TimedOut,
        "PostgreSQL says nothing any more",
    ))
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
        let most = i64::from(self.0.options().get_max_connections());
        let open = i64::from(self.0.size());
        let idle = i64::try_from(self.0.num_idle()).unwrap_or(i64::MAX);
        metrics::gauge(
            &mut encoder,
            "database_connections_max",
            "Connections to PostgreSQL that there may be",
            most,
        )?;
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
