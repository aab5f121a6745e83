//! The only way to change something: what is changed and what is told of it are one act.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use shared::{
    SessionId,
    event::{Event, Kind},
    topic::{Seq, Topic},
};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    bus::{Bus, Envelope},
    error::{Error, Result},
    telemetry::metrics::Metrics,
};

/// A change under way. Dropping it undoes all.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    recorded: Vec<Envelope>,
    bus: Bus,
    metrics: Arc<Metrics>,
}

/// The place of an event in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub topic: Topic,
    pub seq: Seq,
    /// Later than everything that happened in the topic before.
    pub at: DateTime<Utc>,
}

impl Tx {
    pub(super) fn new(inner: Transaction<'static, Postgres>, bus: Bus, metrics: Arc<Metrics>) -> Self {
        Self {
            inner,
            recorded: Vec::new(),
            bus,
            metrics,
        }
    }

    /// Where statements of this change run.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    /// The next place in a topic. Others who want one wait until this change is over, so take it late and commit soon.
    pub async fn next_place(&mut self, topic: Topic, now: DateTime<Utc>) -> Result<Place> {
        let place = sqlx::query!(
            r#"insert into topics as t (id, last_seq, last_at) values ($1, 1, $2)
               on conflict (id) do update
               set last_seq = t.last_seq + 1, last_at = greatest($2, t.last_at + interval '1 microsecond')
               returning last_seq, last_at"#,
            topic.id(),
            now,
        )
        .fetch_one(self.conn())
        .await?;
        Ok(Place {
            topic,
            seq: place.last_seq,
            at: place.last_at,
        })
    }

    /// Append an event to the log, at a place that was taken for it.
    pub async fn record_at(&mut self, place: Place, event: &Event) -> Result<()> {
        self.record_held(place, event, None).await
    }

    /// The same, for an event that sockets of the login session `held_for` must not hear of before an answer has been written.
    pub async fn record_held(
        &mut self,
        place: Place,
        event: &Event,
        held_for: Option<SessionId>,
    ) -> Result<()> {
        let kind = event.kind();
        let body = placed(kind, event.body().map_err(Error::internal)?, place.seq);
        sqlx::query!(
            "insert into events (topic_id, seq, at, kind, body) values ($1, $2, $3, $4, $5)",
            place.topic.id(),
            place.seq,
            place.at,
            kind.name(),
            body,
        )
        .execute(self.conn())
        .await?;
        self.recorded.push(Envelope {
            topic: place.topic,
            seq: place.seq,
            kind: kind.name().into(),
            held_for,
            body: body.into(),
        });
        Ok(())
    }

    /// Append an event to the log, at the next place of its topic.
    pub async fn record(&mut self, topic: Topic, event: &Event, now: DateTime<Utc>) -> Result<()> {
        let place = self.next_place(topic, now).await?;
        self.record_at(place, event).await
    }

    /// Make it so, and only then tell of it. What cannot be told now is in the log, where others look for what they miss.
    pub async fn commit(self) -> Result<()> {
        let started = std::time::Instant::now();
        self.inner.commit().await?;
        self.metrics
            .commit_seconds
            .observe(started.elapsed().as_secs_f64());
        self.metrics.events_recorded.inc_by(self.recorded.len() as u64);
        self.bus.publish(self.recorded);
        Ok(())
    }
}

/// The body of an event with its place in it, so that a client can say what it saw last. Messages know theirs.
fn placed(kind: Kind, body: String, seq: Seq) -> String {
    match body.strip_suffix('}') {
        Some(open) if kind != Kind::MessageSent => format!("{open},\"seq\":{seq}}}"),
        _ => body,
    }
}
