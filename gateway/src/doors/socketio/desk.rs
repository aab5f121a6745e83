//! What a socket asks, worked off one after the other in the order in which it was sent.
//!
//! Nothing is kept for a socket that asks nothing: whoever puts the first event on an empty desk has somebody come who works it off.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared::{disconnect::Disconnect, problem::Reason};
use tokio::time::timeout;
use tracing::{error, warn};
use uuid::Uuid;

use super::{
    Door, answer,
    incoming::Incoming,
    mailbox::Mailbox,
    names,
    outlet::{Ending, Item},
};
use crate::{
    doors::PATIENCE,
    error::Error,
    features::{Caller, dispatch::dispatch},
    telemetry::{
        metrics::{CommandLabels, ProblemLabels},
        traces::{Cause, Stage},
    },
};

/// Events that may wait at most.
const ROOM: usize = 4_096;
/// Bytes that may wait at most. A single event always may, so this is no limit of its own.
const BYTES: usize = 1024 * 1024;

pub struct Desk {
    door: Arc<Door>,
    caller: Caller,
    mailbox: Arc<Mailbox>,
    ending: Ending,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Incoming>,
    bytes: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing is worked off yet.
    #[default]
    Early,
    Idle,
    Busy,
}

/// What became of an event that was put into the queue.
enum Taken {
    Waits,
    /// Somebody has to come and work it off.
    First,
    /// Too much waits already.
    Refused(Incoming),
}

impl Desk {
    pub fn new(door: Arc<Door>, caller: Caller, mailbox: Arc<Mailbox>, ending: Ending) -> Arc<Self> {
        Arc::new(Self {
            door,
            caller,
            mailbox,
            ending,
            queue: Mutex::default(),
        })
    }

    /// Take an event. This is where its place in the order is decided.
    pub fn put(self: &Arc<Self>, incoming: Incoming) {
        if self.ending.is_here() {
            return;
        }
        let taken = self.queue().take_in(incoming);
        match taken {
            Taken::Waits => {}
            Taken::First => self.begin(),
            Taken::Refused(incoming) => self.refuse(incoming),
        }
    }

    /// Begin to work off what is put here.
    pub fn open(self: &Arc<Self>) {
        let has_some = self.queue().open();
        if has_some {
            self.begin();
        }
    }

    fn begin(self: &Arc<Self>) {
        let desk = self.clone();
        let tasks = &self.door.live.tasks;
        tasks.spawn("work off what a socket asks", desk.work_off());
    }

    fn refuse(&self, refused: Incoming) {
        let error = Error::TooMany {
            reason: Reason::RateExceeded,
            retry_after: Duration::from_secs(1),
            limit: None,
        };
        if let Ok(answer) = answer::failure(&refused.name, &refused.payload, &error.problem())
            && !self.mailbox.put(Item::Answer(Box::new((answer, refused.ack))))
        {
            self.ending.comes(Disconnect::Slow);
        }
    }

    /// What the socket asked before it left is still done, unless its session ended.
    async fn work_off(self: Arc<Self>) {
        let mut ends_with = EndsWith(Some(&self.ending));
        while let Some(incoming) = self.next() {
            if self.ending.why() == Some(Disconnect::SessionEnded) {
                break;
            }
            let ack = incoming.ack;
            if let Some(answer) = Box::pin(self.ask(&incoming.name, &incoming.payload)).await {
                let answer = Item::Answer(Box::new((answer, ack)));
                tokio::select! {
                    () = self.mailbox.put_soon(answer) => {}
                    // Nobody writes it any more.
                    () = self.ending.has_come() => {}
                }
            }
        }
        ends_with.0 = None;
    }

    fn next(&self) -> Option<Incoming> {
        let mut queue = self.queue();
        let next = queue.waiting.pop_front();
        match &next {
            Some(next) => queue.bytes -= size(next),
            None => {
                *queue = Queue {
                    state: State::Idle,
                    ..Queue::default()
                }
            }
        }
        next
    }

    /// Ask for it, and say what became of it.
    async fn ask(&self, name: &str, payload: &str) -> Option<answer::Answer> {
        let (backend, caller) = (&self.door.live.backend, &self.caller);
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

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn take_in(&mut self, incoming: Incoming) -> Taken {
        let size = size(&incoming);
        if !self.waiting.is_empty() && (self.waiting.len() >= ROOM || self.bytes + size > BYTES) {
            return Taken::Refused(incoming);
        }
        self.bytes += size;
        self.waiting.push_back(incoming);
        if self.state == State::Idle {
            self.state = State::Busy;
            return Taken::First;
        }
        Taken::Waits
    }

    /// Says whether there is something to work off.
    fn open(&mut self) -> bool {
        if self.state != State::Early {
            return false;
        }
        let has_some = !self.waiting.is_empty();
        self.state = if has_some { State::Busy } else { State::Idle };
        has_some
    }
}

fn size(incoming: &Incoming) -> usize {
    incoming.name.len() + incoming.payload.len()
}

/// If the work ends by a panic, the socket ends with it.
struct EndsWith<'a>(Option<&'a Ending>);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        if let Some(ending) = self.0 {
            ending.comes_if_open(Disconnect::Unavailable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_refused_and_room_comes_back() {
        let event = |size: usize| Incoming {
            name: String::new(),
            payload: " ".repeat(size),
            ack: None,
        };
        let mut queue = Queue::default();
        let takes = |queue: &mut Queue, size| !matches!(queue.take_in(event(size)), Taken::Refused(_));
        assert!(takes(&mut queue, BYTES + 1), "one always fits");
        assert!(!takes(&mut queue, 1));
        queue.waiting.clear();
        queue.bytes = 0;
        assert!(takes(&mut queue, BYTES));
        assert!(!takes(&mut queue, 1));
        assert!(queue.open(), "what came early is worked off");
    }
}
