//! An event on its way to live connections: one for all of them.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use shared::{
    SessionId,
    event::Kind,
    topic::{Seq, Topic},
};
use tokio::time::Instant;

use crate::{
    bus::{Envelope, PASSING},
    telemetry::traces::{Stage, Traces},
};

#[derive(Debug)]
pub struct Delivery {
    envelope: Arc<Envelope>,
    /// None for kinds of a version to come.
    pub kind: Option<Kind>,
    json: Box<RawValue>,
    rendered: OnceLock<Vec<u8>>,
    /// When it came to this replica.
    came: Instant,
    /// Lasts until the last who listens has it written down.
    _stage: Option<Box<Stage>>,
}

impl Delivery {
    /// Nothing, if the body is not JSON.
    pub fn new(envelope: Arc<Envelope>) -> Option<Self> {
        let json = serde_json::from_slice::<&RawValue>(&envelope.body)
            .ok()?
            .to_owned();
        Some(Self {
            kind: Kind::of(&envelope.kind),
            envelope,
            json,
            rendered: OnceLock::new(),
            came: Instant::now(),
            _stage: None,
        })
    }

    /// As a trace shows it.
    pub fn traced(self, traces: &Traces) -> Self {
        let stage = traces.delivery(self.envelope.cause.as_ref(), &self.envelope.kind);
        Self {
            _stage: stage,
            ..self
        }
    }

    pub fn topic(&self) -> Topic {
        self.envelope.topic
    }

    pub fn seq(&self) -> Seq {
        self.envelope.seq
    }

    /// Nobody remembers it, and it has no place in the order.
    pub fn is_passing(&self) -> bool {
        self.envelope.seq == PASSING
    }

    /// When it was told, or written to the log.
    pub fn at(&self) -> DateTime<Utc> {
        self.envelope.at
    }

    /// When it came to this replica.
    pub fn came(&self) -> Instant {
        self.came
    }

    pub fn held_for(&self) -> Option<SessionId> {
        self.envelope.held_for
    }

    /// The body, as its publisher wrote it.
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    /// As the one door that writes bytes has it for everybody: rendered once.
    pub fn rendered(&self, render: impl FnOnce(&RawValue) -> Vec<u8>) -> &[u8] {
        self.rendered.get_or_init(|| render(&self.json))
    }

    /// The body, for the few who have to understand it.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.json.get()).ok()
    }

    #[cfg(test)]
    pub fn sample(
        topic: Topic,
        seq: Seq,
        kind: Kind,
        held_for: Option<SessionId>,
        body: String,
    ) -> Arc<Self> {
        let envelope = Envelope {
            topic,
            seq,
            kind: kind.name().into(),
            held_for,
            at: DateTime::default(),
            cause: None,
            body: body.into(),
        };
        Arc::new(Self::new(Arc::new(envelope)).unwrap())
    }
}
