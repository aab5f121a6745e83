//! A live connection, in as few words as the protocol allows: Engine.IO 4 over a WebSocket, Socket.IO 5 in the namespace `/`.
//!
//! It answers pings and keeps what it hears; it never comes back by itself, because tests and measurements want to say when.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// How long a handshake or an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes that the kernel takes for us ahead of our reading.
const WINDOW: u32 = 64 * 1024;

/// A masked text frame announces a hundred bytes, and here are two of them.
const HALF_A_FRAME: &[u8] = &[0x81, 0x80 | 100, 7, 7, 7, 7, b'4' ^ 7, b'2' ^ 7];

type Line = WebSocketStream<TcpStream>;
type Acks = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// An event, and when it came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub name: String,
    pub payload: Value,
    pub at: Instant,
}

/// What the connection's task is asked to do.
#[derive(Debug)]
enum Say {
    Frame(Message),
    /// Half a frame, and then nothing ever again.
    Half,
}

/// A socket that is connected. Dropping it breaks the connection without a word.
#[derive(Debug)]
pub struct Socket {
    heard: mpsc::UnboundedReceiver<Heard>,
    says: mpsc::UnboundedSender<Say>,
    acks: Acks,
    next_ack: u64,
    reads: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Socket {
    /// Connect as the owner of `token`. `base` is an address such as `http://127.0.0.1:3000`.
    pub async fn open(base: &str, token: &str) -> Result<Self> {
        Self::open_with(base, json!({ "token": token })).await
    }

    /// Connect with whatever a client may say of itself.
    pub async fn open_with(base: &str, hello: Value) -> Result<Self> {
        timeout(PATIENCE, Self::connect(base, hello))
            .await
            .context("no connection in time")?
    }

    async fn connect(base: &str, hello: Value) -> Result<Self> {
        let authority = base.trim_start_matches("http://");
        // A small window: who stops reading is noticed after a few kilobytes and not after megabytes.
        let window = TcpSocket::new_v4()?;
        window.set_recv_buffer_size(WINDOW)?;
        let address = tokio::net::lookup_host(authority)
            .await?
            .find(|address| address.is_ipv4());
        let stream = window.connect(address.context("no such address")?).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{authority}/socket.io/?EIO=4&transport=websocket");
        let (mut line, _) = client_async(url, stream).await?;
        let open = text(&mut line).await?;
        if !open.starts_with('0') {
            bail!("expected to be welcomed, got {open}");
        }
        line.send(Message::text(format!("40{hello}"))).await?;
        loop {
            let answer = text(&mut line).await?;
            match answer.as_str() {
                "2" => line.send(Message::text("3")).await?,
                welcome if welcome.starts_with("40") => break,
                refusal if refusal.starts_with("44") => {
                    let refusal: Value = serde_json::from_str(&refusal[2..])?;
                    bail!("refused: {}", refusal["message"].as_str().unwrap_or_default());
                }
                other => bail!("expected to be connected, got {other}"),
            }
        }
        let (tells, heard) = mpsc::unbounded_channel();
        let (says, said) = mpsc::unbounded_channel();
        let acks = Acks::default();
        let reads = watch::Sender::new(true);
        #[expect(
            clippy::disallowed_methods,
            reason = "the connection ends with the socket, which owns the task"
        )]
        let task = tokio::spawn(converse(line, said, tells, acks.clone(), reads.subscribe()));
        Ok(Self {
            heard,
            says,
            acks,
            next_ack: 0,
            reads,
            task,
        })
    }

    pub fn emit(&self, name: &str, payload: &Value) {
        self.say(Message::text(format!("42{}", json!([name, payload]))));
    }

    /// Emit, and wait for the acknowledgement.
    pub async fn ask(&mut self, name: &str, payload: &Value) -> Result<Value> {
        let ack = self.ask_later(name, payload);
        timeout(PATIENCE, ack)
            .await
            .context("no acknowledgement in time")?
            .context("the connection broke before the acknowledgement")
    }

    /// Emit, and have the acknowledgement come when it comes.
    pub fn ask_later(&mut self, name: &str, payload: &Value) -> oneshot::Receiver<Value> {
        let id = self.next_ack;
        self.next_ack += 1;
        let (answers, ack) = oneshot::channel();
        self.acks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, answers);
        self.say(Message::text(format!("42{id}{}", json!([name, payload]))));
        ack
    }

    /// The next event; nothing if none comes in time, or if the connection is gone.
    pub async fn next(&mut self, within: Duration) -> Option<Heard> {
        timeout(within, self.heard.recv()).await.ok().flatten()
    }

    /// The next event; nothing when the connection has ended and everything from it has been taken.
    pub async fn recv(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// The next event of this name that fits. Others before it are dropped.
    pub async fn hear(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        loop {
            match timeout_at(deadline, self.heard.recv()).await {
                Ok(Some(heard)) if heard.name == name && fits(&heard.payload) => return Ok(heard.payload),
                Ok(Some(heard)) => others.push(heard.name),
                Ok(None) => bail!("the connection ended before {name}; heard {others:?}"),
                Err(_) => bail!("no {name} in time; heard {others:?}"),
            }
        }
    }

    /// What has been heard and not been taken, without waiting.
    pub fn heard_so_far(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    /// Do not read from the connection any more, or do again.
    pub fn reads(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    /// Resolves when the connection has ended.
    pub async fn ended(&mut self, within: Duration) -> Result<()> {
        let gone = async { while self.heard.recv().await.is_some() {} };
        timeout(within, gone).await.context("still connected")
    }

    /// Break the connection in the middle of a frame. What was heard until then can still be taken.
    pub fn break_off(&self) {
        let _ = self.says.send(Say::Half);
    }

    fn say(&self, message: Message) {
        let _ = self.says.send(Say::Frame(message));
    }

    /// Say goodbye, as `socket.disconnect()` does.
    pub async fn leave(mut self) -> Result<()> {
        self.say(Message::text("41"));
        self.say(Message::Close(None));
        self.ended(PATIENCE).await
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn text(line: &mut Line) -> Result<String> {
    loop {
        match line.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Err(anyhow!("the connection ended")),
        }
    }
}

async fn converse(
    line: Line,
    mut said: mpsc::UnboundedReceiver<Say>,
    tells: mpsc::UnboundedSender<Heard>,
    acks: Acks,
    mut reads: watch::Receiver<bool>,
) {
    let (mut out, mut into) = line.split();
    loop {
        let may_read = *reads.borrow();
        tokio::select! {
            say = said.recv() => match say {
                Some(Say::Frame(message)) => {
                    if out.send(message).await.is_err() {
                        return;
                    }
                }
                Some(Say::Half) => {
                    if let Ok(mut line) = out.reunite(into) {
                        let _ = line.get_mut().write_all(HALF_A_FRAME).await;
                    }
                    return;
                }
                None => return,
            },
            message = into.next(), if may_read => {
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                match text.as_str() {
                    "2" => {
                        if out.send(Message::text("3")).await.is_err() {
                            return;
                        }
                    }
                    // Told to go, and not to come back.
                    "41" | "1" => return,
                    text => take(text, &tells, &acks),
                }
            }
            changed = reads.changed() => if changed.is_err() { return },
        }
    }
}

/// `42["name",payload]` is an event, `4317[answer]` the answer to what was asked with the number 17.
fn take(text: &str, tells: &mpsc::UnboundedSender<Heard>, acks: &Acks) {
    if let Some(event) = text.strip_prefix("42")
        && let Ok((name, payload)) = serde_json::from_str(event)
            .or_else(|_| serde_json::from_str(event).map(|(name,): (String,)| (name, Value::Null)))
    {
        let at = Instant::now();
        let _ = tells.send(Heard { name, payload, at });
    } else if let Some(answer) = text.strip_prefix("43")
        && let Some(start) = answer.find('[')
        && let Ok(id) = answer[..start].parse()
        && let Ok((answer,)) = serde_json::from_str::<(Value,)>(&answer[start..])
    {
        let waiting = acks.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }
}
