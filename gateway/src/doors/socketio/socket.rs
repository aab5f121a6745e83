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
use tokio::time::timeout;
use tracing::warn;

use super::{
    Door,
    desk::Desk,
    incoming::Incoming,
    mailbox::Mailbox,
    names,
    outlet::{Ending, Parting, SocketOutlet},
    own::Leaving,
    pen::{Hand, Pen, Through},
    writer::{Ended, Writer},
};
use crate::{
    doors::{
        PATIENCE,
        session::{self, Opened, Positions},
    },
    error::Error,
    fanout::{ConnectionId, Listener},
    features::{
        Caller, presence,
        sessions::broken_lines::{self, Break},
    },
    telemetry::metrics::{Metrics, ReasonLabels},
};

/// After the packet that says goodbye, the client has this long to go before it is dropped.
const GOODBYE: Duration = Duration::from_millis(300);
/// What was written last has left by then.
const FLUSH: Duration = Duration::from_millis(100);

/// A socket whose person is known, before CONNECT has been answered.
pub struct Prepared {
    caller: Caller,
    /// When the client was let in: what is said from then on is for it.
    began: DateTime<Utc>,
    positions: Option<Positions>,
    pub desk: Arc<Desk>,
    pub mailbox: Arc<Mailbox>,
    pub ending: Ending,
}

impl Prepared {
    pub fn new(door: &Arc<Door>, caller: Caller, positions: Option<Positions>) -> Self {
        let mailbox = Arc::<Mailbox>::default();
        let ending = Ending::default();
        Self {
            caller,
            began: door.live.backend.clock.now(),
            positions,
            desk: Desk::new(door.clone(), caller, mailbox.clone(), ending.clone()),
            mailbox,
            ending,
        }
    }
}

/// Where a socket that the library holds waits for its connection.
#[derive(Clone)]
struct Waiting(Arc<Mutex<Option<Prepared>>>);

/// Get ready for whatever the client sends, by way of the library.
pub fn prepare(socket: &SocketRef, door: &Arc<Door>, prepared: Prepared) {
    // The library keeps what it calls as long as the socket, and what waits on the desk keeps the socket.
    let desk = Arc::downgrade(&prepared.desk);
    socket.on_fallback(move |_: SocketRef, event: Incoming| {
        // Here and now: this is still the order in which events arrived.
        if let Some(desk) = desk.upgrade() {
            desk.put(event);
        }
        std::future::ready(())
    });
    socket.on_disconnect({
        let (ending, door) = (prepared.ending.clone(), door.clone());
        move |socket: SocketRef, reason: DisconnectReason| {
            door.lines.forget(&socket.id.to_string());
            ending.is_left(parting(reason));
            std::future::ready(())
        }
    });
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

/// The library has answered CONNECT.
pub async fn connected(socket: SocketRef, State(door): State<Arc<Door>>) {
    let waiting = socket.extensions.remove::<Waiting>();
    let prepared =
        waiting.and_then(|waiting| waiting.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    let Some(prepared) = prepared else { return };
    let tasks = door.live.tasks.clone();
    let hand = Hand::Library(Through::new(socket, door.lines.clone()));
    tasks.spawn("socket", async move {
        live(&door, hand, prepared).await;
    });
}

/// Live through one socket to its end. If it is the client who ends it, what writes to it is given back.
pub async fn live(door: &Arc<Door>, hand: Hand, prepared: Prepared) -> Option<Hand> {
    let Prepared {
        caller,
        began,
        positions,
        desk,
        mailbox,
        ending,
    } = prepared;
    let live = &door.live;
    let _counted = Counted::new(door, caller.user, &ending);
    let pen = Pen::new(hand, ending.clone());
    let listener = Listener {
        id: ConnectionId::new(),
        user: caller.user,
        outlet: Arc::new(SocketOutlet::new(caller.session, mailbox.clone(), ending.clone())),
    };
    let mut writer = Writer::new(door.clone(), caller, began, pen, mailbox, ending.clone());
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
            desk.open();
            tokio::select! {
                ended = writer.serve(past, wants_positions) => if let Ended::Failed(error) = ended {
                    warn!(?error, "Cannot tell a socket what it has missed");
                    ending.comes(Disconnect::Unavailable);
                },
                () = leave_in_time(door) => {
                    let goodbye = Leaving::at(live.backend.clock.now());
                    let _ = timeout(FLUSH, writer.say_last(names::LEAVING, &goodbye)).await;
                    tokio::time::sleep(FLUSH).await;
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
    close(writer.into_pen(), &ending).await
}

/// A socket, as long as it is counted. However its task ends, be it by a panic, nothing of it stays behind.
struct Counted {
    metrics: Arc<Metrics>,
    user: UserId,
    ending: Ending,
}

impl Counted {
    fn new(door: &Door, user: UserId, ending: &Ending) -> Self {
        let metrics = door.live.backend.metrics.clone();
        metrics.connections.inc();
        Self {
            metrics,
            user,
            ending: ending.clone(),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Only if it was not closed in order.
        self.ending.comes_if_open(Disconnect::Unavailable);
        let why = self.ending.why();
        if why == Some(Disconnect::Slow) {
            warn!(user = %self.user, "A connection was closed because its client reads too slowly; it may come back");
        }
        let reason = why.map_or("left", Disconnect::name);
        self.metrics.connections.dec();
        self.metrics
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

/// Let go of the client in the way that makes it come back, or not.
async fn close(mut pen: Pen, ending: &Ending) -> Option<Hand> {
    let Some(why) = ending.why() else {
        return Some(pen.into_hand());
    };
    if !why.comes_back() {
        let _ = timeout(GOODBYE, pen.send_away()).await;
        tokio::time::sleep(GOODBYE).await;
    }
    None
}
