//! TLS at the gateway's own door.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use gateway::config::Switch;
use reqwest::Method;
use rustix::process::{Signal, getpid, kill_process};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tools::client::{Rest, rest::LoggedIn};

use crate::cluster::Cluster;

const SOON: Duration = Duration::from_secs(20);

/// A certificate that nobody has signed but itself, and where it is.
struct Certificate {
    folder: PathBuf,
    pem: String,
}

impl Certificate {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut certificate = Self {
            folder,
            pem: String::new(),
        };
        certificate.renew();
        certificate
    }

    fn renew(&mut self) {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        self.pem = made.cert.pem();
        fs::write(self.file(), &self.pem).unwrap();
        fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    async fn cluster(&self) -> Cluster {
        Cluster::with(|config| {
            config.http.tls_certificate = Some(self.file());
            config.http.tls_key = Some(self.key());
            config.limits.rate_limits = Switch::Off;
        })
        .await
    }

    /// The public door of a replica, for whoever believes this certificate.
    fn rest(&self, cluster: &Cluster, replica: usize) -> Rest {
        let address = cluster.replicas[replica].address;
        Rest::trusting(format!("https://{address}"), &self.pem).unwrap()
    }

    /// A connection to a replica, for whoever speaks this version.
    async fn connect(
        &self,
        cluster: &Cluster,
        replica: usize,
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let believed = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        roots.add(believed).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(cluster.replicas[replica].address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A live connection, as far as the answer to CONNECT.
    async fn socket(
        &self,
        cluster: &Cluster,
        replica: usize,
        who: &LoggedIn,
    ) -> WebSocketStream<TlsStream<TcpStream>> {
        let stream = self.connect(cluster, replica, &TLS13).await.unwrap();
        let url = "wss://localhost/socket.io/?EIO=4&transport=websocket";
        let (mut socket, _) = client_async(url, stream).await.unwrap();
        let hello = json!({"token": who.access_token});
        socket.send(Message::text(format!("40{hello}"))).await.unwrap();
        hear(&mut socket, "connection:success").await;
        socket
    }
}

/// The next event of this name.
async fn hear(socket: &mut WebSocketStream<TlsStream<TcpStream>>, name: &str) -> Value {
    let search = async {
        loop {
            let text = socket.next().await.unwrap().unwrap();
            let text = text.to_text().unwrap();
            let Some(event) = text.strip_prefix("42") else {
                continue;
            };
            let event: Value = serde_json::from_str(event).unwrap();
            if event[0] == name {
                return event[1].clone();
            }
        }
    };
    timeout(SOON, search).await.unwrap()
}

#[tokio::test]
async fn requests_and_live_connections_work_over_tls() {
    let certificate = Certificate::new("both");
    let cluster = certificate.cluster().await;
    let (here, there) = (certificate.rest(&cluster, 0), certificate.rest(&cluster, 1));
    let (ada, bob) = (
        here.register("ada").await.unwrap(),
        there.register("bob").await.unwrap(),
    );
    let chat = ada
        .rest
        .post(
            "/api/chats/group",
            json!({"name": "group", "participantIds": [bob.id]}),
        )
        .await
        .unwrap();
    assert!(
        chat.header("strict-transport-security").is_some(),
        "who came over TLS must not come back without"
    );
    let path = format!(
        "/api/chats/{}/messages",
        chat.expect(201).unwrap().str("id").unwrap()
    );
    let mut ears = [
        certificate.socket(&cluster, 0, &bob).await,
        certificate.socket(&cluster, 1, &bob).await,
    ];
    // Longer than a record of TLS, and many at once.
    let long = "x".repeat(9_000);
    for number in 0..20 {
        let said = json!({"content": format!("{number} {long}")});
        ada.rest.post(&path, said).await.unwrap().expect(201).unwrap();
    }
    for ear in &mut ears {
        for number in 0..20 {
            let heard = hear(ear, "message:new").await;
            assert_eq!(heard["content"], format!("{number} {long}"));
        }
    }
    // What a socket asks is answered, and an upload of some size arrives.
    let ask = json!(["message:send", {"chatId": path.split('/').nth(3), "content": "over the socket"}]);
    ears[0].send(Message::text(format!("42{ask}"))).await.unwrap();
    assert_eq!(
        hear(&mut ears[1], "message:new").await["content"],
        "over the socket"
    );
    let too_long = vec![b'x'; 3 * 1024 * 1024];
    let refused = ada
        .rest
        .raw(Method::POST, &path, Some("application/json"), too_long)
        .await;
    assert_eq!(refused.unwrap().status, 413);
}

#[tokio::test]
async fn nothing_older_than_tls_1_3_is_answered() {
    let certificate = Certificate::new("old");
    let cluster = certificate.cluster().await;
    certificate.connect(&cluster, 0, &TLS13).await.unwrap();
    let error = certificate.connect(&cluster, 0, &TLS12).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");

    let mut plain = TcpStream::connect(cluster.replicas[0].address).await.unwrap();
    plain
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = timeout(SOON, plain.read_to_end(&mut answer)).await.unwrap();
    assert!(
        !answer.starts_with(b"HTTP"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    // Machines ask in plain HTTP, on a port of their own.
    cluster
        .ops(0)
        .get("/health/live")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart_and_a_bad_one_is_not() {
    let mut certificate = Certificate::new("new");
    let cluster = certificate.cluster().await;
    let before = certificate.rest(&cluster, 0);
    before.get("/health").await.unwrap().expect(200).unwrap();
    let ada = before.register("ada").await.unwrap();
    let mut ear = certificate.socket(&cluster, 0, &ada).await;

    fs::write(certificate.file(), "half a certif").unwrap();
    kill_process(getpid(), Signal::HUP).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    certificate.connect(&cluster, 0, &TLS13).await.unwrap();

    certificate.renew();
    kill_process(getpid(), Signal::HUP).unwrap();
    let renewed = async {
        // Only the new one is believed.
        while certificate.connect(&cluster, 0, &TLS13).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, renewed).await.unwrap();
    // Who was there stays.
    let chat = json!({"name": "group", "participantIds": []});
    ada.rest.post("/api/chats/group", chat).await.unwrap();
    ear.send(Message::text("42[\"no:such:event\",{}]")).await.unwrap();
    hear(&mut ear, "error").await;
}

/// Like `official_clients`, for which `.ci/contract` asks.
#[tokio::test]
#[ignore = "run by .ci/contract"]
async fn official_clients_over_tls() {
    let certificate = Certificate::new("official");
    let cluster = certificate.cluster().await;
    let ada = certificate.rest(&cluster, 0).register("ada").await.unwrap();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/contract");
    let script = r#"
        import { io } from "socket.io-client";
        for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
            const socket = io(process.env.ADDRESS, { transports, auth: { token: process.env.TOKEN }, reconnection: false });
            await new Promise((resolve, reject) => {
                socket.on("connect_error", reject);
                socket.on("connection:success", resolve);
            });
            const answer = await socket.timeout(5000).emitWithAck("presence:update", { status: "away" });
            if (!answer.success) throw new Error(JSON.stringify(answer));
            socket.disconnect();
        }
        console.log("all is well");
    "#;
    let mut node = tokio::process::Command::new("node");
    node.args(["--input-type=module", "--eval", script])
        .current_dir(contract)
        .env("NODE_EXTRA_CA_CERTS", certificate.file())
        .env("ADDRESS", format!("https://{}", cluster.replicas[0].address))
        .env("TOKEN", &ada.access_token)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(SOON, node.output()).await.unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
