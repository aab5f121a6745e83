//! Redis as the doorbell between replicas. What is lost here is found in the log.
//!
//! An event goes to the listeners of this replica directly, and to those of the others over one channel per topic; a replica
//! listens only where a client of its own does.

mod link;
mod publisher;
#[doc(hidden)]
pub mod wire;

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_redis::{Pool, PoolConfig, Runtime, Timeouts};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use shared::{event::Event, topic::Topic};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use self::link::Wish;
pub use self::{
    link::Link,
    publisher::Publisher,
    wire::{Envelope, PASSING},
};
use crate::{
    clock::Clock,
    config,
    error::{Error, Result},
    telemetry::{
        metrics::Metrics,
        traces::{Cause, Traces},
    },
};

/// Events that wait to be published at most. Redis is away when there are more, and they are in the log anyway.
const OUTBOX: usize = 16_384;
/// What everybody is told when something may have been lost.
const LOOK_IT_UP: &[u8] = b"look it up";

#[derive(Clone)]
pub struct Bus {
    /// For what may wait for a connection of its own.
    pool: Pool,
    /// One connection that everybody shares, for short questions: they are sent one behind the other without waiting for answers,
    /// so a thousand at once need no thousand connections. It comes back by itself.
    shared: ConnectionManager,
    timeout: Duration,
    /// This replica, for as long as it lives.
    origin: Uuid,
    heard: mpsc::UnboundedSender<Heard>,
    outbox: mpsc::Sender<Envelope>,
    owes_a_notice: Arc<AtomicBool>,
    wishes: mpsc::UnboundedSender<Wish>,
    clock: Clock,
    traces: Traces,
    metrics: Arc<Metrics>,
}

/// What comes in, from here and from elsewhere.
#[derive(Debug)]
pub enum Heard {
    Told(Arc<Envelope>),
    /// From now on, events of other replicas may be missing.
    LinkDown,
    /// From now on they come again; some may have been missed.
    LinkUp,
    /// Somebody could not publish for a while.
    LookItUp,
}

/// The parts of the bus that run.
pub struct Works {
    pub link: Link,
    pub publisher: Publisher,
    pub heard: mpsc::UnboundedReceiver<Heard>,
}

impl Bus {
    /// Prepare connections. None is opened yet, so a Redis that is away does not keep a replica from starting.
    pub fn new(
        config: &config::Redis,
        origin: Uuid,
        clock: Clock,
        traces: Traces,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<(Self, Works)> {
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
        let connection = || -> anyhow::Result<ConnectionManager> {
            let manager = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(config.timeout))
                .set_response_timeout(Some(config.timeout))
                .set_number_of_retries(1);
            Ok(ConnectionManager::new_lazy_with_config(client(config)?, manager)?)
        };
        let (heard, hears) = mpsc::unbounded_channel();
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        let (wishes, wished) = mpsc::unbounded_channel();
        let owes_a_notice = Arc::new(AtomicBool::new(false));
        let prefix = Arc::<str>::from(config.prefix.as_str());
        let works = Works {
            link: Link {
                client: client(config)?,
                prefix: prefix.clone(),
                origin,
                wishes: wished,
                heard: heard.clone(),
                clock: clock.clone(),
                traces: traces.clone(),
                metrics: metrics.clone(),
                topics: HashSet::new(),
            },
            publisher: Publisher {
                redis: connection()?,
                prefix,
                origin,
                outbox: outgoing,
                owes_a_notice: owes_a_notice.clone(),
                timeout: config.timeout,
                metrics: metrics.clone(),
            },
            heard: hears,
        };
        let bus = Self {
            pool,
            shared: connection()?,
            timeout: config.timeout,
            origin,
            heard,
            outbox,
            owes_a_notice,
            wishes,
            clock,
            traces,
            metrics,
        };
        Ok((bus, works))
    }

    /// Tell of what has been committed. Never waits and never fails: whoever misses it finds it in the log.
    pub fn publish(&self, envelopes: Vec<Envelope>) {
        let at = self.clock.now();
        for envelope in envelopes {
            let envelope = Envelope { at, ..envelope };
            let _ = self.heard.send(Heard::Told(Arc::new(envelope.clone())));
            if self.outbox.try_send(envelope).is_err() {
                self.metrics.events_unpublished.inc();
                self.owes_a_notice.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Something may have been committed and not told: everybody looks into the log.
    pub fn look_it_up(&self) {
        self.owes_a_notice.store(true, Ordering::Relaxed);
        let _ = self.heard.send(Heard::LookItUp);
    }

    /// Tell of what nobody needs to remember.
    pub fn publish_passing(&self, topics: impl IntoIterator<Item = Topic>, event: &Event) -> Result<()> {
        let cause = Cause::current();
        let body = bytes::Bytes::from(event.body().map_err(Error::internal)?);
        let envelopes = topics.into_iter().map(|topic| Envelope {
            topic,
            seq: PASSING,
            kind: event.kind().name().into(),
            held_for: None,
            at: Default::default(),
            cause: cause.clone(),
            body: body.clone(),
        });
        self.publish(envelopes.collect());
        Ok(())
    }

    /// Listen to these topics. Resolves when everything published from then on will be heard, or looked up.
    pub fn listen(&self, topics: Vec<Topic>) -> impl Future<Output = ()> + Send + use<> {
        let (done, listening) = oneshot::channel();
        let asked = self.wishes.send(Wish::Listen(topics, done)).is_ok();
        async move {
            if asked {
                let _ = listening.await;
            }
        }
    }

    pub fn cease(&self, topics: Vec<Topic>) {
        let _ = self.wishes.send(Wish::Cease(topics));
    }

    /// The name of this replica: another one each time it starts.
    pub fn origin(&self) -> Uuid {
        self.origin
    }

    pub fn traces(&self) -> &Traces {
        &self.traces
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

fn client(config: &config::Redis) -> anyhow::Result<redis::Client> {
    redis::Client::open(config.url.expose().as_str()).map_err(|_| wrong_address())
}

fn channel(prefix: &str, topic: Topic) -> String {
    match topic {
        Topic::Chat(chat) => format!("{prefix}:chat:{chat}"),
        Topic::User(user) => format!("{prefix}:user:{user}"),
    }
}

/// The channel on which all replicas listen.
fn everybody(prefix: &str) -> String {
    format!("{prefix}:everybody")
}

fn wrong_address() -> anyhow::Error {
    anyhow::anyhow!("REDIS_URL is not an address like redis://host:6379")
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}
