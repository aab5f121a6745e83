//! The life of one socket.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rand::Rng;
use shared::{UserId, disconnect::Disconnect};
use socketioxide::{
    extract::{SocketRef, State},
    socket::DisconnectReason,
};
use tokio::{sync::mpsc, time::timeout};
use tracing::{error, warn};
use uuid::Uuid;

use super::{
    Door, answer,
    incoming::{self, Backlog, Incoming},
    names,
    outlet::{self, Ending, Item, Parting, SocketOutlet},
    own::Leaving,
    pen::Pen,
    writer::{Ended, Writer},
};
use crate::{
    doors::{
        PATIENCE,
        line::Line,
        session::{self, Opened, Positions},
    },
    error::Error,
    fanout::{ConnectionId, Listener},
    features::{
        Caller,
        dispatch::dispatch,
        presence,
        sessions::broken_lines::{self, Break},
    },
    telemetry::{
        metrics::{CommandLabels, ProblemLabels, ReasonLabels},
        traces::{Cause, Stage},
    },
};

/// After the packet that says goodbye, the client has this long to go before it is dropped.
const GOODBYE: Duration = Duration::from_millis(300);
/// What was written last has left by then.
const FLUSH: Duration = Duration::from_millis(100);

/// A socket whose person is known, before CONNECT has been answered.
struct Prepared {
    caller: Caller,
    /// When the client was let in: what is said from then on is for it.
    began: DateTime<Utc>,
    positions: Option<Positions>,
    line: Option<Line>,
    backlog: Backlog,
    ending: Ending,
}

/// Where the prepared socket waits for its connection.
#[derive(Clone)]
struct Waiting(Arc<Mutex<Option<Prepared>>>);

/// Get ready for whatever the client sends.
pub fn prepare(
    socket: &SocketRef,
    door: &Arc<Door>,
    caller: Caller,
    positions: Option<Positions>,
    line: Option<Line>,
) {
    let (inbox, backlog) = incoming::queue();
    let ending = Ending::default();
    socket.on_fallback(move |socket: SocketRef, event: Incoming| {
        // Only put into the queue, here and now: this is still the order in which events arrived.
        if let Err(refused) = inbox.put(event) {
            refuse(&socket, refused);
        }
        std::future::ready(())
    });
    socket.on_disconnect({
        let (ending, door) = (ending.clone(), door.clone());
        move |socket: SocketRef, reason: DisconnectReason| {
            door.lines.forget(&socket.id.to_string());
            ending.is_left(parting(reason));
            std::future::ready(())
        }
    });
    let prepared = Prepared {
        caller,
        began: door.live.backend.clock.now(),
        positions,
        line,
        backlog,
        ending,
    };
    socket
        .extensions
        .insert(Waiting(Arc::new(Mutex::new(Some(prepared)))));
}

fn parting(reason: DisconnectReason) -> Parting {
    match reason {
        DisconnectReason::ClientNSDisconnect | DisconnectReason::ServerNSDisconnect => Parting::Goodbye,
        DisconnectReason::TransportClose | DisconnectReason::ClosingServer => Parting::Closed,
        _ => Parting::Broken,
    }
}

fn refuse(socket: &SocketRef, refused: Incoming) {
    let error = Error::TooMany {
        reason: shared::problem::Reason::RateExceeded,
        retry_after: Duration::from_secs(1),
        limit: None,
    };
    let Ok(answer) = answer::failure(&refused.name, &refused.payload, &error.problem()) else {
        return;
    };
    if let Some((event, said)) = answer.event {
        let _ = socket.emit(event, &said);
    }
    if let Some(ack) = refused.ack {
        let _ = ack.send(&answer.ack);
    }
}

/// CONNECT has been answered.
pub async fn connected(socket: SocketRef, State(door): State<Arc<Door>>) {
    let waiting = socket.extensions.remove::<Waiting>();
    let prepared =
        waiting.and_then(|waiting| waiting.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    let Some(prepared) = prepared else { return };
    let tasks = door.live.tasks.clone();
    tasks.spawn("socket", live(door, socket, prepared));
}

async fn live(door: Arc<Door>, socket: SocketRef, prepared: Prepared) {
    let Prepared {
        caller,
        began,
        positions,
        line,
        backlog,
        ending,
    } = prepared;
    let live = &door.live;
    let _counted = Counted::new(&door, caller.user, &socket, &ending);
    let (room, items) = mpsc::channel(outlet::ROOM);
    let listener = Listener {
        id: ConnectionId::new(),
        user: caller.user,
        outlet: Arc::new(SocketOutlet::new(caller.session, room.clone(), ending.clone())),
    };
    let pen = Pen::new(socket.clone(), line.filter(Line::takes_frames), ending.clone());
    let mut writer = Writer::new(live.clone(), caller, began, pen, items, ending.clone());
    // What happens once is put aside while it happens: a task takes as much memory, all its life, as it does at its largest.
    let (wants_positions, named) = (positions.is_some(), positions.unwrap_or_default());
    let opened = Box::pin(timeout(
        PATIENCE,
        session::open(live, &caller, listener, began, named),
    ))
    .await;
    match opened.unwrap_or_else(|late| Err(Error::unavailable(late))) {
        Ok(Opened { attachment, past }) => {
            let _here = Box::pin(presence::arrive(&live.backend, &caller)).await;
            live.tasks.spawn(
                "work off what a socket asks",
                work_off(door.clone(), caller, backlog, room, ending.clone()),
            );
            tokio::select! {
                ended = writer.serve(past, wants_positions) => if let Ended::Failed(error) = ended {
                    warn!(?error, "Cannot tell a socket what it has missed");
                    ending.comes(Disconnect::Unavailable);
                },
                () = leave_in_time(&door) => {
                    let _ = timeout(FLUSH, writer.flush()).await;
                    say_goodbye(&door, &socket).await;
                    ending.comes(Disconnect::Restarting);
                }
            }
            // The library lets go before it says why.
            let _ = timeout(GOODBYE, ending.has_come()).await;
            ending.comes_if_open(Disconnect::Unavailable);
            drop(attachment);
        }
        Err(Error::Unauthenticated(_)) => ending.comes(Disconnect::SessionEnded),
        Err(error) => {
            warn!(?error, "Cannot open a socket");
            ending.comes(Disconnect::Unavailable);
        }
    }
    let ended = match ending.parting() {
        Parting::Goodbye => Break::Goodbye(writer.under_way()),
        Parting::Closed if !writer.is_behind() => Break::Closed(writer.told_lately()),
        _ => Break::Unknown(writer.uncertain()),
    };
    // Before it is closed: whoever comes back shall find it.
    Box::pin(broken_lines::note(&live.backend, caller.user, ended)).await;
    close(&door, socket, &ending).await;
}

/// A socket, as long as it is counted. However its task ends, be it by a panic, nothing of it stays behind.
struct Counted {
    door: Arc<Door>,
    user: UserId,
    sid: String,
    ending: Ending,
}

impl Counted {
    fn new(door: &Arc<Door>, user: UserId, socket: &SocketRef, ending: &Ending) -> Self {
        door.live.backend.metrics.connections.inc();
        Self {
            door: door.clone(),
            user,
            sid: socket.id.to_string(),
            ending: ending.clone(),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Only if it was not closed in order.
        self.door.lines.cut(&self.sid);
        self.ending.comes_if_open(Disconnect::Unavailable);
        let why = self.ending.why();
        if why == Some(Disconnect::Slow) {
            warn!(user = %self.user, "A connection was closed because its client reads too slowly; it may come back");
        }
        let reason = why.map_or("left", Disconnect::name);
        let metrics = &self.door.live.backend.metrics;
        metrics.connections.dec();
        metrics
            .connections_closed
            .get_or_create(&ReasonLabels { reason })
            .inc();
    }
}

/// Resolves when this replica leaves and it is this socket's turn: not all clients should come to the others at once.
async fn leave_in_time(door: &Door) {
    door.live.tasks.draining().await;
    let wait = rand::rng().random_range(Duration::ZERO..=door.live.drain_window);
    tokio::time::sleep(wait).await;
}

async fn say_goodbye(door: &Door, socket: &SocketRef) {
    let goodbye = Leaving::at(door.live.backend.clock.now());
    let _ = socket.emit(names::LEAVING, &goodbye);
    tokio::time::sleep(FLUSH).await;
}

/// Let go of the client in the way that makes it come back, or not.
async fn close(door: &Door, socket: SocketRef, ending: &Ending) {
    let Some(why) = ending.why() else { return };
    let sid = socket.id.to_string();
    if why.comes_back() {
        door.lines.cut(&sid);
        return;
    }
    let strand = door.lines.take(&sid);
    let _ = socket.disconnect();
    tokio::time::sleep(GOODBYE).await;
    if let Some(strand) = strand {
        strand.cut();
    }
}

/// Work off what a socket asks, one after the other. What it asked before it left is still done, unless its session ended.
async fn work_off(
    door: Arc<Door>,
    caller: Caller,
    mut backlog: Backlog,
    room: mpsc::Sender<Item>,
    ending: Ending,
) {
    // If this ends by a panic, the socket ends with it.
    let _guard = EndsWith(ending.clone());
    let mut is_open = true;
    loop {
        let incoming = tokio::select! {
            biased;
            () = ending.has_come(), if is_open => {
                is_open = false;
                backlog.close();
                continue;
            }
            incoming = backlog.next() => incoming,
        };
        let Some(incoming) = incoming else { return };
        if ending.why() == Some(Disconnect::SessionEnded) {
            return;
        }
        let ack = incoming.ack;
        if let Some(answer) = Box::pin(ask(&door, &caller, &incoming.name, &incoming.payload)).await {
            let _ = room.send(Item::Answer(Box::new((answer, ack)))).await;
        }
    }
}

struct EndsWith(Ending);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.comes_if_open(Disconnect::Unavailable);
    }
}

/// Ask for it, and say what became of it.
async fn ask(door: &Door, caller: &Caller, name: &str, payload: &str) -> Option<answer::Answer> {
    let backend = &door.live.backend;
    let command = names::known(name);
    let request_id = Uuid::now_v7().to_string();
    let mut stage = backend.bus.traces().request(|| command.to_owned(), &request_id);
    let cause = Cause {
        request_id: request_id.as_str().into(),
        trace: stage.as_ref().map(Stage::context),
    };
    let outcome = match names::asked(name, payload) {
        Some(Ok(command)) => timeout(PATIENCE, cause.leads_to(dispatch(backend, caller, command)))
            .await
            .unwrap_or_else(|late| Err(Error::unavailable(late))),
        Some(Err(error)) => Err(error),
        None => Err(Error::NotFound("event")),
    };
    let answer = match outcome {
        Ok(reply) => answer::success(name, payload, &reply, backend.clock.now()),
        Err(error) => {
            if let Some(cause) = error.cause() {
                warn!(%cause, %request_id, command, user = %caller.user, "A command failed");
                if let Some(stage) = &mut stage {
                    stage.failed(cause.to_string());
                }
            }
            let problem = error.problem();
            let problems = &backend.metrics.problems;
            problems.get_or_create(&ProblemLabels::from(&problem)).inc();
            answer::failure(name, payload, &problem)
        }
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            error!(?error, command, "An answer cannot be written");
            return None;
        }
    };
    let outcome = if answer.is_success { "done" } else { "refused" };
    backend
        .metrics
        .commands
        .get_or_create(&CommandLabels { command, outcome })
        .inc();
    Some(answer)
}
