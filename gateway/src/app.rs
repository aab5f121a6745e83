//! The only place that knows everything: settings in, a running replica out.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    bus::Bus,
    chores,
    clock::Clock,
    config::{self, Config, Switch},
    db::{self, Db},
    doors::{http, ops, origins::Origins, rest::Rest, serve::serve, session::Live, tls::Tls},
    fanout::Hub,
    features::{
        Backend, Settings,
        auth::{passwords::Passwords, tokens::AccessTokens},
        media::{Darkroom, blobs::Blobs},
        messages::send::{self, Sends},
        presence::{self, Presence},
        receipts::arrivals,
    },
    lifecycle::Tasks,
    limits::{Attempts, Limits, Together},
    telemetry::{metrics::Metrics, traces::Traces},
};

/// Connections that may wait to be accepted: a thousand people arriving at once is the normal case here.
const BACKLOG: u32 = 4_096;

/// Where a replica listens.
#[derive(Debug)]
pub struct Listeners {
    pub public: TcpListener,
    pub ops: TcpListener,
}

impl Listeners {
    pub fn bind(config: &config::Http) -> anyhow::Result<Self> {
        Ok(Self {
            public: listen(config.listen, "LISTEN")?,
            ops: listen(config.ops_listen, "OPS_LISTEN")?,
        })
    }
}

fn listen(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    let open = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().with_context(|| format!("cannot listen on {address}: choose another address with {setting}"))
}

/// A replica that serves.
#[derive(Debug)]
pub struct App {
    pub address: SocketAddr,
    pub ops_address: SocketAddr,
    pub backend: Arc<Backend>,
    pub tasks: Tasks,
    drain_delay: Duration,
    shutdown_timeout: Duration,
}

impl App {
    pub async fn start(
        config: &Config,
        listeners: Listeners,
        clock: Clock,
        tasks: Tasks,
    ) -> anyhow::Result<Self> {
        for warning in config.warnings() {
            warn!("{warning}");
        }
        if config.database.migrate_on_start {
            db::migrate(&config.database).await?;
        }
        let db = Db::connect(&config.database).await?;
        let blobs = Blobs::new(&config.storage);
        let metrics = Arc::new(Metrics::new(vec![db.collector()]));
        let origin = Uuid::new_v4();
        let traces = Traces::start(&config.telemetry, origin)?;
        let (bus, works) = Bus::new(&config.redis, origin, clock.clone(), traces, metrics.clone())?;
        let limits_are_on = config.limits.rate_limits == Switch::On;
        let together = Together::new(
            bus.shared(),
            &config.redis.prefix,
            config.redis.timeout,
            clock.clone(),
        );
        let together = Arc::new(together);
        let images_url = config.storage.public_url.as_deref().map_or_else(
            || format!("{}/media", config.http.public_url.trim_end_matches('/')),
            |url| url.trim_end_matches('/').to_owned(),
        );
        let backend = Arc::new(Backend {
            attempts: Attempts::new(limits_are_on, together.clone(), clock.clone(), tasks.clone()),
            limits: Limits::new(&config.limits, together, clock.clone(), metrics.clone()),
            passwords: Passwords::start(&config.auth, limits_are_on, metrics.clone())
                .map_err(|e| anyhow::anyhow!("{e:?}"))?,
            darkroom: Darkroom::start(&config.images, metrics.clone())
                .map_err(|e| anyhow::anyhow!("{e:?}"))?,
            admission: Default::default(),
            access_tokens: AccessTokens::new(&config.auth),
            sessions: Default::default(),
            turns: Default::default(),
            health: Default::default(),
            presence: Presence::new(&bus, &config.redis.prefix, config.redis.timeout),
            arrivals: Default::default(),
            sends: Sends::new(&metrics),
            tasks: tasks.clone(),
            settings: Settings {
                session_lifetime: config.auth.refresh_token_ttl,
                group_max_members: config.limits.group_max_members,
                images_url,
            },
            db,
            bus,
            blobs,
            clock,
            metrics,
        });

        let hub = Hub::new(
            backend.bus.clone(),
            backend.db.clone(),
            tasks.clone(),
            backend.metrics.clone(),
        );
        tasks.spawn_underneath("listen to Redis", works.link.run());
        tasks.spawn_underneath("publish to Redis", works.publisher.run());
        tasks.spawn_underneath("tell what is heard", hub.clone().run(works.heard));
        tasks.spawn_underneath("watch the log", hub.clone().watch_the_log());
        tasks.spawn_underneath("send what waits", send::keep_sending(backend.clone()));
        tasks.spawn_underneath("keep the lease", presence::keep(backend.clone()));
        tasks.spawn_underneath("note what has arrived", arrivals::keep_noting(backend.clone()));
        tasks.spawn(
            "note the rest of what has arrived",
            arrivals::note_the_rest(backend.clone()),
        );
        let live = Live {
            backend: backend.clone(),
            hub,
            tasks: tasks.clone(),
            drain_window: config.http.drain_delay,
        };

        let rest = Rest {
            backend: backend.clone(),
            tasks: tasks.clone(),
            trusted_proxies: config.http.trusted_proxies.clone().into(),
            started: Instant::now(),
        };
        let tls = Tls::load(&config.http)?;
        if let Some(tls) = &tls {
            tasks.spawn_lasting("keep the certificate current", tls.clone().keep_current());
        }
        let origins = Origins::new(&config.http.origins());
        let address = listeners.public.local_addr()?;
        let ops_address = listeners.ops.local_addr()?;
        let public = http::router(rest.clone(), live, &origins, config.http.is_https());
        tasks.spawn_lasting(
            "public listener",
            serve(listeners.public, tls, public, tasks.clone()),
        );
        tasks.spawn_lasting(
            "ops listener",
            serve(listeners.ops, None, ops::router(rest), tasks.clone()),
        );
        chores::start(&tasks, &backend);
        info!(%address, %ops_address, version = env!("CARGO_PKG_VERSION"), "Serving");
        Ok(Self {
            address,
            ops_address,
            backend,
            tasks,
            drain_delay: config.http.drain_delay,
            shutdown_timeout: config.http.shutdown_timeout,
        })
    }

    /// Serve until asked to stop, then leave in good order.
    pub async fn run(self) {
        self.tasks.finish(self.drain_delay, self.shutdown_timeout).await;
        self.backend.db.close().await;
        self.backend.bus.close();
        self.backend.bus.traces().clone().finish().await;
    }

    /// Ask to stop, and wait for it.
    pub async fn stop(self) {
        self.tasks.drain();
        self.run().await;
    }
}
