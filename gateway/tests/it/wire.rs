//! WebSocket clients word for word: what the libraries never send, and what they send rarely.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use gateway::config::Switch;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Bytes, Message,
        protocol::frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use crate::cluster::Cluster;

const PATIENCE: Duration = Duration::from_secs(10);

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn open(cluster: &Cluster) -> Self {
        let base = cluster.rest(0).base().to_owned();
        let stream = TcpStream::connect(base.strip_prefix("http://").unwrap())
            .await
            .unwrap();
        let url = format!(
            "{}/socket.io/?EIO=4&transport=websocket",
            base.replacen("http", "ws", 1)
        );
        let (socket, _) = client_async(url, stream).await.unwrap();
        let mut client = Self(socket);
        let open: Value = serde_json::from_str(client.hear("0").await.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(
            (
                &open["pingInterval"],
                &open["pingTimeout"],
                &open["maxPayload"],
                &open["upgrades"]
            ),
            (&json!(25_000), &json!(20_000), &json!(262_144), &json!([]))
        );
        client
    }

    async fn connected(cluster: &Cluster, token: &str) -> Self {
        let mut client = Self::open(cluster).await;
        client.connect(token).await;
        client
    }

    async fn connect(&mut self, token: &str) {
        self.say(&format!("40{}", json!({ "token": token }))).await;
        self.hear("40{\"sid\"").await;
        self.hear("42[\"connection:success\"").await;
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn send(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        timeout(PATIENCE, self.0.next()).await.unwrap().unwrap().unwrap()
    }

    /// The next text that begins so.
    async fn hear(&mut self, beginning: &str) -> String {
        loop {
            if let Message::Text(text) = self.next().await
                && text.starts_with(beginning)
            {
                return text.to_string();
            }
        }
    }

    /// With which code the connection is closed.
    async fn closed(mut self) -> u16 {
        loop {
            if let Message::Close(Some(close)) = self.next().await {
                return close.code.into();
            }
        }
    }
}

#[tokio::test]
async fn packets_are_understood_however_they_are_framed() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = Switch::Off).await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let mut client = Client::connected(&cluster, &ada.access_token).await;

    // In three frames, with a ping between them.
    let ask = json!(["message:mark-read", {"messageId": "no id"}]).to_string();
    let said = format!("4217{ask}");
    let piece = |text: &str, kind, is_last| {
        Message::Frame(Frame::message(
            Bytes::copy_from_slice(text.as_bytes()),
            OpCode::Data(kind),
            is_last,
        ))
    };
    client.send(piece(&said[..3], Data::Text, false)).await;
    client.send(Message::Ping(Bytes::from_static(b"there?"))).await;
    client.send(piece(&said[3..9], Data::Continue, false)).await;
    client.send(piece(&said[9..], Data::Continue, true)).await;
    while client.next().await != Message::Pong(Bytes::from_static(b"there?")) {}
    assert!(client.hear("4317").await.contains("VALIDATION_ERROR"));

    // Bytes that belong to an event are counted, and the event is answered.
    client
        .say(r#"451-18["message:mark-read",{"_placeholder":true,"num":0}]"#)
        .await;
    // The answer to a ping may come from another thread of the client.
    client.say("3").await;
    client.send(Message::binary(vec![1, 2, 3])).await;
    assert!(client.hear("4318").await.contains("VALIDATION_ERROR"));

    // What is no event at all is answered, too.
    client.say("4219rubbish").await;
    assert!(client.hear("4319").await.contains("NOT_FOUND"));

    // Names may be written as JSON allows.
    client.say(r#"4220["message:mark\u002dread",{}]"#).await;
    assert!(client.hear("4320").await.contains("VALIDATION_ERROR"));

    client.say("40/admin,{}").await;
    assert_eq!(
        client.hear("44").await,
        r#"44/admin,{"message":"Invalid namespace"}"#
    );

    // Goodbye, and hello again over the same connection.
    client.say("41").await;
    client.connect(&ada.access_token).await;
    client.say(r#"4221["presence:heartbeat"]"#).await;
    client.hear("4321").await;

    client.0.close(None).await.unwrap();
    assert_eq!(client.closed().await, 1000);
}

#[tokio::test]
async fn who_is_not_let_in_may_try_again() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let mut client = Client::open(&cluster).await;
    for (hello, why) in [
        ("", "Authentication token required"),
        ("nonsense", "Authentication token required"),
        (r#"{"token":7}"#, "Authentication token required"),
        (r#"{"token":"nonsense"}"#, "Authentication failed"),
    ] {
        client.say(&format!("40{hello}")).await;
        assert_eq!(client.hear("44").await, format!(r#"44{{"message":"{why}"}}"#));
    }
    client.connect(&ada.access_token).await;
}

#[tokio::test]
async fn what_cannot_be_understood_closes_the_connection_and_says_why() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let long = "x".repeat(300 * 1024);
    let lies = Frame::message(Bytes::from_static(&[0xff]), OpCode::Data(Data::Text), true);
    for (what, message, code) in [
        ("an unknown packet", Message::text("9"), CloseCode::Protocol),
        ("a second hello", Message::text("40{}"), CloseCode::Protocol),
        (
            "bytes that belong to nothing",
            Message::binary(vec![0]),
            CloseCode::Protocol,
        ),
        (
            "too many attachments",
            Message::text(r#"455-["a"]"#),
            CloseCode::Protocol,
        ),
        (
            "a place where nobody is",
            Message::text(r#"42/admin,["a"]"#),
            CloseCode::Protocol,
        ),
        ("too much", Message::text(long), CloseCode::Size),
        ("no text", Message::Frame(lies), CloseCode::Invalid),
    ] {
        let mut client = Client::connected(&cluster, &ada.access_token).await;
        // We may be gone before all of it is written.
        let _ = client.0.send(message).await;
        assert_eq!(client.closed().await, u16::from(code), "{what}");
    }
    // Before anybody is let in, there is nothing to ask.
    let mut client = Client::open(&cluster).await;
    client.say(r#"42["message:send",{}]"#).await;
    assert_eq!(client.closed().await, u16::from(CloseCode::Protocol));
}

#[tokio::test]
async fn requests_for_what_is_no_websocket_are_refused() {
    let cluster = Cluster::start().await;
    let address = cluster.rest(0).base().strip_prefix("http://").unwrap().to_owned();
    for (query, version) in [
        ("EIO=3&transport=websocket", "13"),
        ("EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA", "13"),
        ("EIO=4&transport=pigeon", "13"),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "GET /socket.io/?{query} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: {version}\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![0; 12];
        timeout(PATIENCE, stream.read_exact(&mut head))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(head, b"HTTP/1.1 400", "{query}");
    }
}
