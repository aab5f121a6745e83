//! Clients that come by WebSocket from the beginning: Engine.IO and Socket.IO (version 4 and 5 of their protocols), without a library
//! in between. One task for each connection, which reads, writes and waits.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use shared::disconnect::Disconnect;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, error};
use uuid::Uuid;

use super::{
    Door, MAX_ATTACHMENTS, MAX_PAYLOAD, PING_INTERVAL, PING_TIMEOUT,
    desk::Desk,
    handshake::{self, Hello, Turned, value_of},
    incoming::{Ack, Incoming},
    mailbox::Mailbox,
    outlet::{Ending, Item, Parting},
    packet::{self, Packet},
    pen::{Direct, Hand},
    socket::{self, Prepared},
};
use crate::doors::{
    line::{Line, Wire},
    websocket::{self, Code, Ended, Kind, Message, Reader},
};

/// Whoever opens a connection has this long to say who they are.
const PATIENCE: Duration = Duration::from_secs(45);
/// What was written last has left by then.
const FLUSH: Duration = Duration::from_millis(300);
/// The version of Engine.IO that we speak.
const VERSION: &str = "4";

/// What a client has to know of the connection.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    sid: Uuid,
    upgrades: [&'static str; 0],
    ping_interval: u128,
    ping_timeout: u128,
    max_payload: usize,
}

impl Open {
    fn new() -> Self {
        Self {
            sid: Uuid::new_v4(),
            upgrades: [],
            ping_interval: PING_INTERVAL.as_millis(),
            ping_timeout: PING_TIMEOUT.as_millis(),
            max_payload: MAX_PAYLOAD,
        }
    }
}

/// Take a request for a new WebSocket. All others are the library's, wrong ones too.
pub async fn take(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let Some(response) = accepted(&request) else {
        return next.run(request).await;
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let tasks = door.live.tasks.clone();
    tasks.spawn("socket", serve(door, upgrade));
    response
}

fn accepted(request: &Request) -> Option<Response> {
    let says = |name, value| value_of(request.uri(), name).as_deref() == Some(value);
    let is_ours = says("transport", "websocket")
        && says("EIO", VERSION)
        && value_of(request.uri(), "sid").is_none()
        && request.extensions().get::<Line>().is_some_and(Line::is_plain);
    let accepted = websocket::accept(request.method(), request.version(), request.headers());
    accepted.filter(|_| is_ours)
}

async fn serve(door: Arc<Door>, upgrade: OnUpgrade) {
    let Some((mut client, mut hand)) = opened(upgrade).await else {
        return;
    };
    let left = loop {
        // What happens once is put aside while it happens: a task takes as much memory, all its life, as it does at its largest.
        let prepared = match Box::pin(client.connect(&door, &mut hand)).await {
            Ok(prepared) => prepared,
            Err(left) => break left,
        };
        let (left, kept) = client.session(&door, hand, prepared).await;
        let Some(kept) = kept else { return };
        hand = kept;
        if !matches!(left, Left::Goodbye) {
            break left;
        }
        if !hand.forgets() {
            return;
        }
    };
    if let Some(code) = left.code() {
        hand.put(&websocket::close(code));
        let _ = timeout(FLUSH, hand.write_out()).await;
    }
}

/// The connection, once HTTP has let go of it.
async fn opened(upgrade: OnUpgrade) -> Option<(Client, Direct)> {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            debug!(%error, "A client went while it was given its WebSocket");
            return None;
        }
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<Wire>>() else {
        error!("A connection is not what it was accepted as");
        return None;
    };
    let (reading, writing) = parts.io.into_inner().into_stream().into_split();
    let client = Client {
        reader: Reader::new(reading, &parts.read_buf, MAX_PAYLOAD),
        attached: None,
        due: Instant::now() + PING_INTERVAL,
        is_awaited: false,
    };
    let mut hand = Direct::new(writing);
    hand.put(&packet::open(&Open::new()));
    hand.write_out().await.ok()?;
    Some((client, hand))
}

/// What a client says, and whether it still says something.
struct Client {
    reader: Reader,
    attached: Option<Attached>,
    /// When the next ping is due, or the answer to the last one.
    due: Instant,
    is_awaited: bool,
}

/// Something that binary messages belong to.
struct Attached {
    /// Nothing, if it is of no interest.
    event: Option<Incoming>,
    to_come: usize,
    bytes: usize,
}

/// How a client left.
enum Left {
    /// It said goodbye, and may come again over the same connection.
    Goodbye,
    /// It closed the connection, or never said who it is.
    Closed,
    /// The connection broke, or we close it for this reason.
    Broken(Option<Code>),
}

impl Left {
    fn parting(&self) -> Parting {
        match self {
            Self::Goodbye => Parting::Goodbye,
            Self::Closed => Parting::Closed,
            Self::Broken(_) => Parting::Broken,
        }
    }

    /// What the client is told about it.
    fn code(&self) -> Option<Code> {
        match self {
            Self::Goodbye | Self::Closed => Some(Code::Normal),
            Self::Broken(code) => *code,
        }
    }
}

impl From<Ended> for Left {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Gone => Self::Broken(None),
            Ended::Wrong(code) => Self::Broken(Some(code)),
        }
    }
}

/// What to do next.
enum Step {
    Read(String),
    /// So many bytes came.
    Count(usize),
    /// A ping, or the answer to one.
    Write(Vec<u8>),
}

impl Client {
    /// What the client says next, or what it has to be told meanwhile. May be dropped and asked again.
    async fn next(&mut self) -> Result<Step, Left> {
        loop {
            let Ok(message) = timeout_at(self.due, self.reader.next()).await else {
                if self.is_awaited {
                    return Err(Left::Broken(None));
                }
                self.is_awaited = true;
                self.due = Instant::now() + PING_TIMEOUT;
                return Ok(Step::Write(packet::ping()));
            };
            let message = message?;
            if std::mem::take(&mut self.is_awaited) {
                // At least as often as announced, whatever the answer took.
                self.due = self.due - PING_TIMEOUT + PING_INTERVAL;
            }
            match message {
                Message::Text(text) => return Ok(Step::Read(text)),
                Message::Binary(bytes) => return Ok(Step::Count(bytes.len())),
                Message::Ping(said) => return Ok(Step::Write(websocket::frame(Kind::Pong, &[&said]))),
                Message::Pong => {}
                Message::Close => return Err(Left::Closed),
            }
        }
    }

    /// Wait until somebody is let in.
    async fn connect(&mut self, door: &Arc<Door>, hand: &mut Direct) -> Result<Prepared, Left> {
        let until = Instant::now() + PATIENCE;
        loop {
            written(hand).await?;
            let next = tokio::select! {
                next = timeout_at(until, self.next()) => next.unwrap_or(Err(Left::Closed))?,
                () = door.live.tasks.closing() => return Err(Left::Broken(None)),
            };
            let text = match next {
                Step::Read(text) => text,
                Step::Write(frame) => {
                    hand.put(&frame);
                    continue;
                }
                Step::Count(_) => return Err(Left::Broken(Some(Code::Protocol))),
            };
            match Packet::read(&text) {
                Some(Packet::Connect(said)) => {
                    let hello: Option<Hello> = serde_json::from_str(said).ok().flatten();
                    match handshake::admit(door, hello.unwrap_or_default()).await {
                        Ok(prepared) => {
                            hand.put(&packet::let_in(&Uuid::new_v4().to_string()));
                            written(hand).await?;
                            return Ok(prepared);
                        }
                        Err(Turned::Away(refusal)) => hand.put(&packet::refused("", &refusal.to_string())),
                        Err(Turned::Off) => return Err(Left::Broken(None)),
                    }
                }
                Some(Packet::ConnectElsewhere(namespace)) => hand.put(&nothing_there(namespace)),
                Some(Packet::Alive | Packet::Disconnect) => {}
                Some(Packet::Close) => return Err(Left::Closed),
                Some(Packet::Event { .. } | Packet::Answer { .. }) | None => {
                    return Err(Left::Broken(Some(Code::Protocol)));
                }
            }
        }
    }

    /// Live through one socket. Says how the client left, and gives back what writes to it unless it was us who ended it.
    async fn session(
        &mut self,
        door: &Arc<Door>,
        hand: Direct,
        prepared: Prepared,
    ) -> (Left, Option<Direct>) {
        let (desk, mailbox) = (prepared.desk.clone(), prepared.mailbox.clone());
        let ending = prepared.ending.clone();
        let mut living = std::pin::pin!(socket::live(door, Hand::Client(hand), prepared));
        let left = tokio::select! {
            biased;
            _ = &mut living => return (Left::Broken(None), None),
            left = self.read(&desk, &mailbox, &ending) => left,
        };
        drop((desk, mailbox));
        ending.is_left(left.parting());
        match living.await {
            Some(Hand::Client(hand)) => (left, Some(hand)),
            _ => (left, None),
        }
    }

    /// Read until the client leaves.
    async fn read(&mut self, desk: &Arc<Desk>, mailbox: &Mailbox, ending: &Ending) -> Left {
        let tell = |frame: Vec<u8>| {
            if !mailbox.put(Item::Frame(Box::new(frame))) {
                ending.comes(Disconnect::Slow);
            }
        };
        loop {
            let text = match self.next().await {
                Ok(Step::Read(text)) => text,
                Ok(Step::Write(frame)) => {
                    tell(frame);
                    continue;
                }
                Ok(Step::Count(bytes)) if self.attach(bytes, desk) => continue,
                Ok(Step::Count(_)) => return Left::Broken(Some(Code::Protocol)),
                Err(left) => return left,
            };
            let packet = Packet::read(&text);
            // Engine.IO does not know that a packet of Socket.IO has not come to its end.
            if self.attached.is_some() && !matches!(packet, Some(Packet::Alive | Packet::Close)) {
                return Left::Broken(Some(Code::Protocol));
            }
            match packet {
                Some(Packet::Event {
                    ack,
                    said,
                    attachments,
                }) if attachments <= MAX_ATTACHMENTS => {
                    let event = Incoming::new(said, attachments, ack.map(Ack::Direct));
                    self.event(event, attachments, desk);
                }
                Some(Packet::Answer { attachments }) if attachments <= MAX_ATTACHMENTS => {
                    self.expect(None, attachments);
                }
                Some(Packet::ConnectElsewhere(namespace)) => tell(nothing_there(namespace)),
                Some(Packet::Alive) => {}
                Some(Packet::Disconnect) => return Left::Goodbye,
                Some(Packet::Close) => return Left::Closed,
                Some(Packet::Connect(_) | Packet::Event { .. } | Packet::Answer { .. }) | None => {
                    return Left::Broken(Some(Code::Protocol));
                }
            }
        }
    }

    /// Put an event where it is worked off, once all that belongs to it is here.
    fn event(&mut self, event: Incoming, attachments: usize, desk: &Arc<Desk>) {
        if attachments == 0 {
            desk.put(event);
        } else {
            self.expect(Some(event), attachments);
        }
    }

    fn expect(&mut self, event: Option<Incoming>, to_come: usize) {
        self.attached = (to_come > 0).then_some(Attached {
            event,
            to_come,
            bytes: 0,
        });
    }

    /// Something that belongs to an event is here. Says whether there is such an event.
    fn attach(&mut self, bytes: usize, desk: &Arc<Desk>) -> bool {
        let Some(attached) = &mut self.attached else {
            return false;
        };
        attached.bytes += bytes;
        attached.to_come -= 1;
        if attached.bytes > MAX_PAYLOAD {
            return false;
        }
        if attached.to_come == 0
            && let Some(event) = self.attached.take().and_then(|attached| attached.event)
        {
            desk.put(event);
        }
        true
    }
}

fn nothing_there(namespace: &str) -> Vec<u8> {
    packet::refused(namespace, "Invalid namespace")
}

/// Write what little a client is told before it is let in.
async fn written(hand: &mut Direct) -> Result<(), Left> {
    match timeout(PATIENCE, hand.write_out()).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Left::Broken(None)),
    }
}
