//! The program itself: its exit codes, its logs, and how it takes signals.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use gateway::config::Config;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};
use tools::client::Rest;

use crate::cluster::{JWT_SECRET, config};

const SOON: Duration = Duration::from_secs(20);

async fn gateway(args: &[&str]) -> Command {
    command(&config().await, args)
}

/// The program with these settings: the one that was built for the tests, or another one to be measured.
pub fn command(config: &Config, args: &[&str]) -> Command {
    let other = std::env::var_os("GATEWAY");
    let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_gateway").into()));
    command
        .args(args)
        .env_clear()
        .env("DATABASE_URL", config.database.url.expose())
        .env("REDIS_URL", config.redis.url.expose())
        .env("REDIS_PREFIX", &config.redis.prefix)
        .env("S3_ENDPOINT", &config.storage.endpoint)
        .env("S3_ACCESS_KEY_ID", &config.storage.access_key_id)
        .env("S3_SECRET_ACCESS_KEY", config.storage.secret_access_key.expose())
        .env("S3_BUCKET", &config.storage.bucket)
        .env("JWT_SECRET", JWT_SECRET)
        .env("LISTEN", "127.0.0.1:0")
        .env("OPS_LISTEN", "127.0.0.1:0")
        .env("BCRYPT_COST", "4")
        .env("LOG_FORMAT", "json")
        .kill_on_drop(true);
    command
}

/// A gateway that serves, and its log.
struct Serving {
    child: Child,
    log: Lines<BufReader<ChildStdout>>,
    rest: Rest,
}

impl Serving {
    async fn start(drain_delay: &str) -> Self {
        let mut command = gateway(&["serve"]).await;
        let mut child = command
            .env("DRAIN_DELAY", drain_delay)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let serving = line_with(&mut log, "Serving").await;
        let rest = Rest::new(format!("http://{}", serving["address"].as_str().unwrap()));
        Self { child, log, rest }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// The next line of the log with this message. Every line is JSON.
async fn line_with(log: &mut Lines<BufReader<ChildStdout>>, message: &str) -> Value {
    let search = async {
        loop {
            let line = log.next_line().await.unwrap().expect("the log goes on");
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            if line["message"] == message {
                return line;
            }
        }
    };
    tokio::time::timeout(SOON, search)
        .await
        .unwrap_or_else(|_| panic!("no line says `{message}`"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn logs_are_json_and_know_the_request_and_the_person() {
    let mut serving = Serving::start("0s").await;
    let ada = serving.rest.register("ada").await.unwrap();
    let answer = ada.rest.get("/api/users/me").await.unwrap().expect(200).unwrap();
    line_with(&mut serving.log, "Answered a request").await;
    let line = line_with(&mut serving.log, "Answered a request").await;
    assert_eq!(line["span"]["request_id"].as_str(), answer.header("x-request-id"));
    assert_eq!(line["span"]["user"], ada.id.as_str());
    assert_eq!(
        (&line["route"], &line["status"], &line["level"]),
        (&"/api/users/me".into(), &200.into(), &"INFO".into())
    );
    assert!(line["timestamp"].is_string() && line["took_ms"].is_number());
}

#[tokio::test]
async fn sigterm_drains_and_exits_with_success() {
    let mut serving = Serving::start("1s").await;
    serving.signal(Signal::TERM);
    line_with(&mut serving.log, "Draining: not ready any more, still serving").await;
    serving
        .rest
        .get("/health/ready")
        .await
        .unwrap()
        .expect(503)
        .unwrap();
    line_with(&mut serving.log, "Stopped").await;
    let status = tokio::time::timeout(SOON, serving.child.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_second_sigterm_stops_at_once() {
    let mut serving = Serving::start("1h").await;
    serving.signal(Signal::TERM);
    line_with(&mut serving.log, "Draining: not ready any more, still serving").await;
    serving.signal(Signal::TERM);
    let status = tokio::time::timeout(SOON, serving.child.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn migrating_is_a_command_of_its_own_and_harmless_to_repeat() {
    for _ in 0..2 {
        let output = gateway(&["migrate"]).await.output().await.unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[tokio::test]
async fn wrong_settings_are_explained() {
    let mut nothing = Command::new(env!("CARGO_BIN_EXE_gateway"));
    let output = nothing.arg("serve").env_clear().output().await.unwrap();
    assert!(
        !output.status.success() && said(&output).contains("--database-url"),
        "{}",
        said(&output)
    );

    for (name, value, words) in [
        ("DATABASE_URL", "nonsense", "postgres://user:password@host"),
        ("JWT_SECRET", "short", "at least 32 bytes"),
        ("LISTEN", "203.0.113.1:1", "choose another address with LISTEN"),
        ("LOG_LEVEL", "gateway=loud", "LOG_LEVEL"),
        (
            "RATE_LIMIT_OVERRIDES",
            "nonsense=1/1s",
            "there is no limit called `nonsense`",
        ),
    ] {
        let output = gateway(&["serve"]).await.env(name, value).output().await.unwrap();
        assert!(!output.status.success(), "{name}={value}");
        assert!(said(&output).contains(words), "{name}={value}: {}", said(&output));
    }
}

#[tokio::test]
async fn checking_the_settings_shows_them_without_secrets() {
    let mut command = gateway(&["check-config"]).await;
    // Set to nothing is not set.
    command
        .env("TRUSTED_PROXIES", "")
        .env("JWT_SECRET_PREVIOUS", "")
        .env("LOG_FORMAT", "");
    let output = command.env("RATE_LIMITS", "off").output().await.unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && shown.contains("warning: RATE_LIMITS=off"),
        "{shown}"
    );
    assert!(!shown.contains(JWT_SECRET), "{shown}");
}

#[tokio::test]
async fn the_program_asks_its_replica_whether_it_is_ready() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ops = free.local_addr().unwrap();
    drop(free);
    // As a container sets it: everywhere.
    let everywhere = format!("0.0.0.0:{}", ops.port());
    let ask = async |address: &str| {
        let mut asking = Command::new(env!("CARGO_BIN_EXE_gateway"));
        // Nothing else has to be known.
        let asking = asking.arg("health").env_clear().env("OPS_LISTEN", address);
        asking.output().await.unwrap()
    };
    let nobody = ask(&everywhere).await;
    assert!(
        !nobody.status.success() && said(&nobody).contains("OPS_LISTEN"),
        "{}",
        said(&nobody)
    );

    let mut command = gateway(&["serve"]).await;
    command.env("DRAIN_DELAY", "1h").env("OPS_LISTEN", &everywhere);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
    line_with(&mut log, "Serving").await;
    let ready = ask(&everywhere).await;
    assert!(ready.status.success(), "{}", said(&ready));

    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    line_with(&mut log, "Draining: not ready any more, still serving").await;
    let leaves = ask(&everywhere).await;
    assert!(
        !leaves.status.success() && said(&leaves).contains("not ready"),
        "{}",
        said(&leaves)
    );
}

#[tokio::test]
async fn secrets_may_be_in_files() {
    let folder = std::env::temp_dir().join(format!("secrets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, secret: &str| {
        let file = folder.join(name);
        std::fs::write(&file, secret).unwrap();
        file
    };
    let check = async |change: &dyn Fn(&mut Command)| {
        let mut command = gateway(&["check-config"]).await;
        change(&mut command);
        let output = command.output().await.unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), shown + &said(&output))
    };
    // Each of them, and a line break at the end is none of it.
    let s3 = file("s3", "AKIA-from-a-file\n");
    let key = file("key", &format!("{JWT_SECRET}\n"));
    let nothing = file("nothing", "\n");
    let (is_good, shown) = check(&|command| {
        command
            .env_remove("S3_ACCESS_KEY_ID")
            .env("S3_ACCESS_KEY_ID_FILE", &s3)
            // Set to nothing is not set.
            .env("JWT_SECRET", "")
            .env("JWT_SECRET_FILE", &key)
            .env("JWT_SECRET_PREVIOUS_FILE", &nothing);
    })
    .await;
    assert!(is_good && shown.contains("\"AKIA-from-a-file\""), "{shown}");
    assert!(shown.contains("jwt_secret_previous: None"), "{shown}");

    let short = file("short", "short");
    for (name, value, words) in [
        (
            "JWT_SECRET_FILE",
            &key,
            "JWT_SECRET and JWT_SECRET_FILE are both set",
        ),
        (
            "DATABASE_URL_FILE",
            &s3,
            "DATABASE_URL and DATABASE_URL_FILE are both set",
        ),
        (
            "JWT_SECRET_PREVIOUS_FILE",
            &folder.join("missing"),
            "must name a file",
        ),
        ("JWT_SECRET_PREVIOUS_FILE", &short, "at least 32 bytes"),
    ] {
        let (is_good, shown) = check(&|command| {
            command.env(name, value);
        })
        .await;
        assert!(!is_good && shown.contains(words), "{name}: {shown}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn whoever_sets_nothing_is_told_what_to_set() {
    let program = env!("CARGO_BIN_EXE_gateway");
    let asked = Command::new(program)
        .arg("serve")
        .env_clear()
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(asked.stderr).unwrap();
    assert_eq!(asked.status.code(), Some(2), "{said}");
    for name in [
        "DATABASE_URL",
        "REDIS_URL",
        "S3_ENDPOINT",
        "JWT_SECRET",
        ".env.example",
        "cargo dev env",
    ] {
        assert!(said.contains(name), "{name} should be in: {said}");
    }
    assert!(!said.contains("CORS_ORIGINS"), "it has a default: {said}");
}
