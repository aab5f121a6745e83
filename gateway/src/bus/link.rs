//! The connection on which this replica listens. It comes back by itself, listens again to all it listened to, and says so:
//! what was told meanwhile has to be looked up.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::PubSubSink;
use shared::topic::Topic;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{Heard, wire};
use crate::{
    clock::Clock,
    telemetry::{
        metrics::{Metrics, seconds_between},
        traces::Traces,
    },
};

/// How often Redis is asked whether it still hears us. A connection that is frozen breaks no other way.
const PULSE: Duration = Duration::from_millis(300);
/// How long it may take to answer before the link counts as lost.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long to wait before trying again.
const PAUSE: Duration = Duration::from_millis(200);
/// Channels in one SUBSCRIBE.
const AT_ONCE: usize = 500;

/// What the link is asked for.
pub(super) enum Wish {
    Listen(Vec<Topic>, oneshot::Sender<()>),
    Cease(Vec<Topic>),
}

pub struct Link {
    pub(super) client: redis::Client,
    pub(super) prefix: Arc<str>,
    pub(super) origin: Uuid,
    pub(super) wishes: mpsc::UnboundedReceiver<Wish>,
    pub(super) heard: mpsc::UnboundedSender<Heard>,
    pub(super) clock: Clock,
    pub(super) traces: Traces,
    pub(super) metrics: Arc<Metrics>,
    pub(super) topics: HashSet<Topic>,
}

impl Link {
    /// Listen for ever.
    pub async fn run(mut self) {
        let mut was_up = true;
        loop {
            match self.listen(&mut was_up).await {
                Ended::NobodyAsks => return,
                Ended::Lost(error) => {
                    if was_up {
                        was_up = false;
                        self.metrics.link_losses.inc();
                        self.metrics.link_up.set(0);
                        warn!(%error, "The link to Redis is lost: events of other replicas are read from the log until it is back");
                        let _ = self.heard.send(Heard::LinkDown);
                    }
                }
            }
            // Whoever waits for being listened for need not: the log is read until the link is back.
            let pause = tokio::time::sleep(PAUSE);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    wish = self.wishes.recv() => match wish {
                        Some(wish) => self.note(wish),
                        None => return,
                    }
                }
            }
        }
    }

    fn note(&mut self, wish: Wish) {
        match wish {
            Wish::Listen(topics, done) => {
                self.topics.extend(topics);
                let _ = done.send(());
            }
            Wish::Cease(topics) => {
                for topic in topics {
                    self.topics.remove(&topic);
                }
            }
        }
    }

    async fn listen(&mut self, was_up: &mut bool) -> Ended {
        let connection = match timeout(PATIENCE, self.client.get_async_pubsub()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Ended::Lost(error.to_string()),
            Err(_) => return Ended::Lost("no connection in time".to_owned()),
        };
        let (mut sink, mut stream) = connection.split();
        let topics: Vec<Topic> = self.topics.iter().copied().collect();
        if let Err(error) = self.subscribe(&mut sink, &topics).await {
            return Ended::Lost(error);
        }
        let everybody = [super::everybody(&self.prefix)];
        match timeout(PATIENCE, sink.subscribe(&everybody[..])).await {
            Ok(Ok(())) => {}
            _ => return Ended::Lost("cannot listen".to_owned()),
        }
        if !std::mem::replace(was_up, true) {
            info!(topics = topics.len(), "The link to Redis is back");
        }
        self.metrics.link_up.set(1);
        // What was told before we listened, if anything was, has to be looked up.
        let _ = self.heard.send(Heard::LinkUp);
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                wish = self.wishes.recv() => {
                    let Some(wish) = wish else { return Ended::NobodyAsks };
                    if let Err(error) = self.grant(&mut sink, wish).await {
                        return Ended::Lost(error);
                    }
                }
                message = stream.next() => {
                    let Some(message) = message else {
                        return Ended::Lost("Redis closed the connection".to_owned());
                    };
                    self.hear(message.get_payload_bytes());
                }
                _ = pulse.tick() => {
                    let asked = Instant::now();
                    match timeout(PATIENCE, sink.ping::<redis::Value>()).await {
                        Ok(Ok(_)) => self.metrics.link_seconds.observe(asked.elapsed().as_secs_f64()),
                        Ok(Err(error)) => return Ended::Lost(error.to_string()),
                        Err(_) => return Ended::Lost("no answer in time".to_owned()),
                    }
                }
            }
        }
    }

    /// Do what is asked, together with all that was asked meanwhile.
    async fn grant(&mut self, sink: &mut PubSubSink, first: Wish) -> Result<(), String> {
        let (mut next, mut listen, mut waiting) = (Some(first), Vec::new(), Vec::new());
        let mut cease = Vec::new();
        while let Some(wish) = next {
            match wish {
                Wish::Listen(topics, done) => {
                    cease.retain(|topic| !topics.contains(topic));
                    listen.extend(topics);
                    waiting.push(done);
                }
                Wish::Cease(topics) => {
                    listen.retain(|topic| !topics.contains(topic));
                    cease.extend(topics);
                }
            }
            next = self.wishes.try_recv().ok();
        }
        self.topics.extend(listen.iter().copied());
        for topic in &cease {
            self.topics.remove(topic);
        }
        let subscribed = self.subscribe(sink, &listen).await;
        // Also when that failed: the log is read from now on, and nobody should wait for Redis.
        for done in waiting {
            let _ = done.send(());
        }
        subscribed?;
        for topics in cease.chunks(AT_ONCE) {
            let channels: Vec<String> = topics
                .iter()
                .map(|topic| super::channel(&self.prefix, *topic))
                .collect();
            match timeout(PATIENCE, sink.unsubscribe(&channels[..])).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("no answer in time".to_owned()),
            }
        }
        Ok(())
    }

    async fn subscribe(&self, sink: &mut PubSubSink, topics: &[Topic]) -> Result<(), String> {
        for topics in topics.chunks(AT_ONCE) {
            let channels: Vec<String> = topics
                .iter()
                .map(|topic| super::channel(&self.prefix, *topic))
                .collect();
            match timeout(PATIENCE, sink.subscribe(&channels[..])).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("no answer in time".to_owned()),
            }
        }
        Ok(())
    }

    fn hear(&self, payload: &[u8]) {
        if payload == super::LOOK_IT_UP {
            let _ = self.heard.send(Heard::LookItUp);
            return;
        }
        match wire::unpack(Bytes::copy_from_slice(payload)) {
            // Told here before it went to Redis.
            Some((origin, _)) if origin == self.origin => {}
            Some((_, mut envelope)) => {
                let late = seconds_between(envelope.at, self.clock.now());
                self.metrics.bus_seconds.observe(late);
                if let Some(cause) = &envelope.cause {
                    debug!(request_id = %cause.request_id, topic = ?envelope.topic, seq = envelope.seq, "Heard of an event");
                    envelope.cause = Some(self.traces.heard(cause, envelope.at.into()));
                }
                let _ = self.heard.send(Heard::Told(Arc::new(envelope)));
            }
            // Perhaps of a version to come, while a deploy rolls: what it says is in the log.
            None => {
                self.metrics.bus_garbage.inc();
                let _ = self.heard.send(Heard::LookItUp);
            }
        }
    }
}

enum Ended {
    Lost(String),
    NobodyAsks,
}
