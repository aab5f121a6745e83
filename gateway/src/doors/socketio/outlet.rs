//! What waits to be written to one socket.

use std::sync::{Arc, OnceLock};

use shared::{
    SessionId,
    disconnect::Disconnect,
    event::{Kind, SessionGone},
};
use tokio_util::sync::CancellationToken;

use super::{answer::Answer, incoming::Ack, mailbox::Mailbox};
use crate::fanout::{Delivery, Outlet};

/// What the writer of a socket is given.
pub enum Item {
    /// Something happened.
    Told(Arc<Delivery>),
    /// The answer to something that this socket asked. Elsewhere, because queues are as wide as their widest item.
    Answer(Box<(Answer, Option<Ack>)>),
    /// Something between the packets: a ping, or the answer to one.
    #[expect(clippy::box_collection, reason = "queues are as wide as their widest item")]
    Frame(Box<Vec<u8>>),
}

/// The hub's end of a socket.
pub struct SocketOutlet {
    session: SessionId,
    mailbox: Arc<Mailbox>,
    ending: Ending,
}

/// Why a socket has to end, once it has to.
#[derive(Clone, Debug, Default)]
pub struct Ending(Arc<End>);

#[derive(Debug, Default)]
struct End {
    why: OnceLock<Disconnect>,
    has_come: CancellationToken,
    parting: OnceLock<Parting>,
}

/// What the end of a socket says about what was written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// The client said goodbye: it wants nothing more.
    Goodbye,
    /// What was written arrived, and the client will come back.
    Closed,
    /// Nobody knows what arrived.
    Broken,
}

impl Ending {
    /// The first reason counts.
    pub fn comes(&self, why: Disconnect) {
        let _ = self.0.why.set(why);
        self.0.has_come.cancel();
    }

    /// The client is gone by itself.
    pub fn is_left(&self, parting: Parting) {
        let _ = self.0.parting.set(parting);
        self.0.has_come.cancel();
    }

    /// Comes, unless the socket has ended already.
    pub fn comes_if_open(&self, why: Disconnect) {
        if !self.is_here() {
            self.comes(why);
        }
    }

    pub fn parting(&self) -> Parting {
        match (self.why(), self.0.parting.get()) {
            (Some(Disconnect::SessionEnded), _) => Parting::Goodbye,
            (Some(Disconnect::Slow), _) => Parting::Broken,
            (_, Some(parting)) => *parting,
            (_, None) => Parting::Closed,
        }
    }

    pub async fn has_come(&self) {
        self.0.has_come.cancelled().await;
    }

    pub fn is_here(&self) -> bool {
        self.0.has_come.is_cancelled()
    }

    /// Nothing, if the client left by itself.
    pub fn why(&self) -> Option<Disconnect> {
        self.0.why.get().copied()
    }
}

impl SocketOutlet {
    pub fn new(session: SessionId, mailbox: Arc<Mailbox>, ending: Ending) -> Self {
        Self {
            session,
            mailbox,
            ending,
        }
    }
}

impl Outlet for SocketOutlet {
    fn offer(&self, delivery: &Arc<Delivery>) {
        if delivery.kind == Some(Kind::SessionEnded) {
            if delivery
                .read()
                .is_some_and(|gone: SessionGone| gone.session_id == self.session)
            {
                self.close(Disconnect::SessionEnded);
            }
        } else if !self.mailbox.put(Item::Told(delivery.clone())) {
            self.close(Disconnect::Slow);
        }
    }

    fn close(&self, why: Disconnect) {
        self.ending.comes(why);
    }
}
