//! Redis as the doorbell between replicas. What is lost here is found in the log.

use std::{fmt, time::Duration};

use deadpool_redis::{Pool, PoolConfig, Runtime, Timeouts};

use crate::{
    config,
    error::{Error, Result},
};

#[derive(Clone)]
pub struct Bus {
    pool: Pool,
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
            .map_err(|_| anyhow::anyhow!("REDIS_URL is not an address like redis://host:6379"))?;
        Ok(Self {
            pool,
            timeout: config.timeout,
        })
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
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

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}
