//! The only way to change something: what is changed and what is told of it are one act.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    event::{Event, Kind},
    topic::{Seq, Topic},
};
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::{sync::oneshot, time::timeout};
use uuid::Uuid;

use crate::{
    bus::{Bus, Envelope},
    error::{Error, Result},
    lifecycle::Tasks,
    telemetry::{metrics::Metrics, traces::Cause},
};

/// A change under way. Dropping it undoes all.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    /// A commit that has not been answered by then never will be.
    patience: Duration,
    recorded: Vec<Envelope>,
    /// Whoever asks for it, and since when it takes time: if somebody wants to know.
    cause: Option<Arc<Cause>>,
    began: Option<SystemTime>,
    bus: Bus,
    tasks: Tasks,
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
    pub(super) fn new(
        inner: Transaction<'static, Postgres>,
        patience: Duration,
        bus: Bus,
        tasks: Tasks,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            inner,
            patience,
            recorded: Vec::new(),
            cause: Cause::current(),
            began: bus.traces().now(),
            bus,
            tasks,
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

    /// The next places in several topics, one for each entry, in the order of the entries; a topic may occur more than once. Topics
    /// are taken in the order of their ids, whatever the order of the entries, so that two changes never wait for each other; a
    /// chat's place is taken before those of people.
    pub async fn next_places(&mut self, topics: &[Topic], now: DateTime<Utc>) -> Result<Vec<Place>> {
        let mut wanted = BTreeMap::<Uuid, i64>::new();
        for topic in topics {
            *wanted.entry(topic.id()).or_default() += 1;
        }
        let (ids, counts): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let rows = sqlx::query!(
            r#"insert into topics as t (id, last_seq, last_at)
               select wanted.id, wanted.count, $3::timestamptz + (wanted.count - 1) * interval '1 microsecond'
               from unnest($1::uuid[], $2::bigint[]) with ordinality as wanted (id, count, position)
               order by wanted.position
               on conflict (id) do update
               set last_seq = t.last_seq + excluded.last_seq,
                   last_at = greatest($3, t.last_at + interval '1 microsecond')
                       + (excluded.last_seq - 1) * interval '1 microsecond'
               returning id, last_seq, last_at"#,
            &ids,
            &counts,
            now,
        )
        .fetch_all(self.conn())
        .await?;
        // From the last place of each topic back to its first.
        let mut last: BTreeMap<_, _> = rows
            .into_iter()
            .map(|row| (row.id, (row.last_seq, row.last_at)))
            .collect();
        let mut places = Vec::with_capacity(topics.len());
        for topic in topics.iter().rev() {
            let (seq, at) = last
                .get_mut(&topic.id())
                .ok_or_else(|| Error::internal("a topic without a place"))?;
            places.push(Place {
                topic: *topic,
                seq: *seq,
                at: *at,
            });
            *seq -= 1;
            *at -= TimeDelta::microseconds(1);
        }
        places.reverse();
        Ok(places)
    }

    /// Append an event to the log, at a place that was taken for it.
    pub async fn record_at(&mut self, place: Place, event: &Event) -> Result<()> {
        self.append(&[(place, event)]).await
    }

    /// Append many events to the log at once, each at a place that was taken for it.
    pub async fn record_all(&mut self, events: &[(Place, Event)]) -> Result<()> {
        let events: Vec<_> = events.iter().map(|(place, event)| (*place, event)).collect();
        self.append(&events).await
    }

    async fn append(&mut self, events: &[(Place, &Event)]) -> Result<()> {
        let (mut ids, mut seqs, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let (mut kinds, mut bodies) = (Vec::new(), Vec::new());
        for (place, event) in events {
            let kind = event.kind();
            ids.push(place.topic.id());
            seqs.push(place.seq);
            times.push(place.at);
            kinds.push(kind.name());
            bodies.push(placed(kind, event.body().map_err(Error::internal)?, place.seq));
        }
        sqlx::query!(
            "insert into events (topic_id, seq, at, kind, body)
             select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[])",
            &ids,
            &seqs,
            &times,
            &kinds as &[&str],
            &bodies,
        )
        .execute(self.conn())
        .await?;
        let envelopes = events.iter().zip(bodies).map(|((place, event), body)| Envelope {
            topic: place.topic,
            seq: place.seq,
            kind: event.kind().name().into(),
            held_for: None,
            // Set when it is told.
            at: DateTime::default(),
            cause: self.cause.clone(),
            body: body.into(),
        });
        self.recorded.extend(envelopes);
        Ok(())
    }

    /// Tell of events that a statement of this change has put into the log itself.
    pub fn recorded(&mut self, envelopes: Vec<Envelope>) {
        self.recorded.extend(envelopes);
    }

    /// Let the log say something else at places that were told long ago, to whoever reads it from now on. For what must not be
    /// known any more; nobody is told of it by this.
    pub async fn rewrite(&mut self, topic: Topic, events: &[(Seq, Event)]) -> Result<()> {
        let seqs: Vec<Seq> = events.iter().map(|(seq, _)| *seq).collect();
        let bodies = events.iter().map(|(seq, event)| {
            let body = event.body().map_err(Error::internal)?;
            Ok(placed(event.kind(), body, *seq))
        });
        let bodies = bodies.collect::<Result<Vec<_>>>()?;
        sqlx::query!(
            "update events set body = new.body
             from unnest($2::bigint[], $3::text[]) as new (seq, body)
             where events.topic_id = $1 and events.seq = new.seq",
            topic.id(),
            &seqs,
            &bodies,
        )
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Append an event to the log, at the next place of its topic.
    pub async fn record(&mut self, topic: Topic, event: &Event, now: DateTime<Utc>) -> Result<()> {
        let place = self.next_place(topic, now).await?;
        self.record_at(place, event).await
    }

    /// Make it so, and only then tell of it. What cannot be told now is in the log, where others look for what they miss.
    ///
    /// Whoever asked may lose patience while the database commits. What was committed is told all the same: both are one task, which
    /// nobody's leaving ends.
    pub async fn commit(self) -> Result<()> {
        let Self {
            inner,
            patience,
            mut recorded,
            cause: _,
            began,
            bus,
            tasks,
            metrics,
        } = self;
        let (done, committed) = oneshot::channel();
        tasks.spawn("commit", async move {
            let started = Instant::now();
            let answer = timeout(patience, inner.commit()).await;
            let outcome = answer.unwrap_or(Err(super::silent()));
            if outcome.is_ok() {
                metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
                metrics.events_recorded.inc_by(recorded.len() as u64);
                let causes = recorded.iter_mut().map(|envelope| &mut envelope.cause);
                bus.traces().committed(began, causes);
                bus.publish(recorded);
            } else if !recorded.is_empty() {
                // The connection may have broken behind the commit: then it was made, and nobody was told.
                bus.look_it_up();
            }
            let _ = done.send(outcome);
        });
        match committed.await {
            Ok(outcome) => Ok(outcome?),
            Err(cut) => Err(Error::unavailable(cut)),
        }
    }
}

/// The body of an event with its place in it, so that a client can say what it saw last. Messages know theirs.
fn placed(kind: Kind, body: String, seq: Seq) -> String {
    match body.strip_suffix('}') {
        Some(open) if kind != Kind::MessageSent => format!("{open},\"seq\":{seq}}}"),
        _ => body,
    }
}
