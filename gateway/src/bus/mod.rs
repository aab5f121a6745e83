//! Redis as the doorbell between replicas. What is lost here is found in the log.

use std::{fmt, time::Duration};

use deadpool_redis::{Pool, PoolConfig, Runtime, Timeouts};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

use crate::{
    config,
    error::{Error, Result},
};

#[derive(Clone)]
pub struct Bus {
    /// For what may wait for a connection of its own.
    pool: Pool,
    /// One connection that everybody shares, for short questions: they are sent one behind the other without waiting for answers,
    /// so a thousand at once need no thousand connections. It comes back by itself.
    shared: ConnectionManager,
    timeout: Duration,
}

impl Bus {
    /// Prepare connections. None is opened yet, so a Redis that is away does not keep a replica from starting.
    pub fn new(config: &config::Redis) -> anyhow::Result<Self> {
        let mut settings = deadpool_redis::Config::from_url(config.url.expose());
        settings.pool = Some(PoolConfig {
            max_size: config.max_connections,
            timeouts: Timeouts {
                wait: Some(config.timeout),
                create: Some(config.timeout),
                recycle: Some(config.timeout),
            },
            ..PoolConfig::default()
        });
        let pool = settings
            .create_pool(Some(Runtime::Tokio1))
            .map_err(|_| wrong_address())?;
        let manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.timeout))
            .set_response_timeout(Some(config.timeout))
            .set_number_of_retries(1);
        let client = redis::Client::open(config.url.expose().as_str()).map_err(|_| wrong_address())?;
        let shared = ConnectionManager::new_lazy_with_config(client, manager)?;
        Ok(Self {
            pool,
            shared,
            timeout: config.timeout,
        })
    }

    /// The connection that everybody shares.
    pub fn shared(&self) -> ConnectionManager {
        self.shared.clone()
    }

    /// Does Redis answer?
    pub async fn check(&self) -> Result<()> {
        let ping = async {
            let mut connection = self.pool.get().await.map_err(Error::unavailable)?;
            redis::cmd("PING")
                .query_async::<()>(&mut connection)
                .await
                .map_err(Error::unavailable)
        };
        tokio::time::timeout(self.timeout, ping)
            .await
            .map_err(Error::unavailable)?
    }

    pub fn close(&self) {
        self.pool.close();
    }
}

fn wrong_address() -> anyhow::Error {
    anyhow::anyhow!("REDIS_URL is not an address like redis://host:6379")
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}
