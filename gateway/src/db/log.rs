//! The event log: what was told in each topic, for whoever missed it.

use std::collections::HashMap;

use shared::topic::{Seq, Topic};

use super::Db;
use crate::{bus::Envelope, error::Result};

/// What was told in a topic after a place, in order.
pub async fn after(db: &Db, topic: Topic, after: Seq, limit: i64) -> Result<Vec<Envelope>> {
    let rows = db
        .in_time(
            sqlx::query!(
                "select seq, at, kind, body from events where topic_id = $1 and seq > $2 order by seq limit $3",
                topic.id(),
                after,
                limit,
            )
            .fetch_all(db.read()),
        )
        .await?;
    let envelopes = rows.into_iter().map(|row| Envelope {
        topic,
        seq: row.seq,
        kind: row.kind.into(),
        held_for: None,
        at: row.at,
        cause: None,
        body: row.body.into(),
    });
    Ok(envelopes.collect())
}

/// The newest place of each of these topics. In a topic where nothing happened yet, that is 0.
pub async fn newest(db: &Db, topics: &[Topic]) -> Result<HashMap<Topic, Seq>> {
    let ids: Vec<_> = topics.iter().map(|topic| topic.id()).collect();
    let rows = sqlx::query!("select id, last_seq from topics where id = any($1)", &ids).fetch_all(db.read());
    let rows = db.in_time(rows).await?;
    let known: HashMap<_, _> = rows.into_iter().map(|row| (row.id, row.last_seq)).collect();
    let newest = topics
        .iter()
        .map(|topic| (*topic, known.get(&topic.id()).copied().unwrap_or(0)));
    Ok(newest.collect())
}
