//! Two replicas, or as many as a test wants, with a database and a Redis prefix of their own and a clock that can be moved.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use clap::Parser;
use gateway::{
    app::{App, Listeners},
    cli::{Cli, Command},
    clock::Clock,
    config::Config,
    lifecycle::Tasks,
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;
use tools::{
    client::Rest,
    dev_stack::{self, TestServices},
};

pub const JWT_SECRET: &str = "a secret for tests, at least thirty-two bytes";

pub struct Cluster {
    pub replicas: Vec<App>,
    pub clock: Clock,
    pub config: Config,
}

impl Cluster {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Two replicas with other settings than the usual ones.
    pub async fn with(change: impl Fn(&mut Config)) -> Self {
        let mut config = config().await;
        change(&mut config);
        let clock = Clock::default();
        let mut cluster = Self {
            replicas: Vec::new(),
            clock,
            config,
        };
        // Both at once, as a deployment would: they must not get into each other's way while they migrate.
        let (a, b) = tokio::join!(cluster.replica(), cluster.replica());
        cluster.replicas.extend([a, b]);
        cluster
    }

    /// One more replica. It serves until it is stopped or the test ends.
    pub async fn replica(&self) -> App {
        self.replica_with(&self.config).await
    }

    /// The same, with settings of its own.
    pub async fn replica_with(&self, config: &Config) -> App {
        let listeners = Listeners::bind(&config.http).unwrap();
        App::start(config, listeners, self.clock.clone(), Tasks::default())
            .await
            .unwrap()
    }

    /// The public door of a replica.
    pub fn rest(&self, replica: usize) -> Rest {
        Rest::new(format!("http://{}", self.replicas[replica].address))
    }

    /// The door for machines of a replica.
    pub fn ops(&self, replica: usize) -> Rest {
        Rest::new(format!("http://{}", self.replicas[replica].ops_address))
    }

    /// A connection to this cluster's database.
    pub async fn database(&self) -> PgConnection {
        PgConnection::connect(self.config.database.url.expose())
            .await
            .unwrap()
    }
}

/// Settings that a test begins with: a new database, any ports, cheap passwords.
pub async fn config() -> Config {
    let (services, s3) = (services(), s3());
    let number = next_number();
    let name = format!("test_{}_{number}", std::process::id());
    let mut admin = PgConnection::connect(&services.database_url).await.unwrap();
    drop_leftovers(&mut admin).await;
    admin
        .execute(AssertSqlSafe(format!("create database {name}")))
        .await
        .unwrap();
    let database_url = format!("{}/{name}", services.database_url.rsplit_once('/').unwrap().0);
    let prefix = format!("{name}_{}", uuid::Uuid::new_v4());
    parse(&[
        ("database-url", &database_url),
        ("redis-url", &services.redis_url),
        ("redis-prefix", &prefix),
        ("s3-endpoint", s3),
        ("s3-access-key-id", dev_stack::s3::ACCESS_KEY_ID),
        ("s3-secret-access-key", dev_stack::s3::SECRET_ACCESS_KEY),
        ("s3-bucket", &name.replace('_', "-")),
        ("jwt-secret", JWT_SECRET),
        ("listen", "127.0.0.1:0"),
        ("ops-listen", "127.0.0.1:0"),
        ("bcrypt-cost", "4"),
        ("drain-delay", "0s"),
        ("shutdown-timeout", "5s"),
        ("database-max-connections", "5"),
        ("trusted-proxies", "127.0.0.1/32"),
    ])
}

/// Settings as the command line gives them.
pub fn parse(flags: &[(&str, &str)]) -> Config {
    let flags = flags.iter().map(|(name, value)| format!("--{name}={value}"));
    let cli = Cli::try_parse_from(
        ["gateway".to_owned(), "serve".to_owned()]
            .into_iter()
            .chain(flags),
    );
    match cli.unwrap_or_else(|error| panic!("{error}")).command {
        Command::Serve(config) => *config,
        other => panic!("{other:?}"),
    }
}

pub fn services() -> &'static TestServices {
    static SERVICES: OnceLock<TestServices> = OnceLock::new();
    SERVICES.get_or_init(|| dev_stack::test_services().unwrap())
}

/// The address of an S3 server that lives as long as this process.
fn s3() -> &'static str {
    static S3: OnceLock<String> = OnceLock::new();
    S3.get_or_init(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let root =
            std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("s3-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                dev_stack::s3::serve(listener, &root).await.unwrap();
            });
        };
        thread::Builder::new().name("s3".to_owned()).spawn(serve).unwrap();
        address
    })
}

fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Databases of test runs that are over, however they ended.
async fn drop_leftovers(admin: &mut PgConnection) {
    static DONE: OnceCell<()> = OnceCell::const_new();
    DONE.get_or_init(|| async {
        let names: Vec<String> =
            sqlx::query_scalar(r"select datname from pg_database where datname like 'test\_%'")
                .fetch_all(&mut *admin)
                .await
                .unwrap();
        for name in names {
            let pid = name.split('_').nth(1).unwrap_or_default();
            if !std::path::Path::new("/proc").join(pid).exists() {
                // Another test process may be at the same work.
                let _ = admin
                    .execute(AssertSqlSafe(format!(
                        "drop database if exists {name} with (force)"
                    )))
                    .await;
            }
        }
    })
    .await;
}
