//! What the bus lost is read from the log: single holes after a moment, and everything while the link to Redis is down.

use std::{sync::Arc, time::Duration};

use shared::{
    UserId,
    topic::{Seq, Topic},
};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{ConnectionId, Delivery, Hub, membership};
use crate::{
    db::log,
    error::{Error, Result},
};

/// Two replicas that write to one chat tell of it over different ways, and the second may arrive first. This long, nobody is
/// surprised.
const GRACE: Duration = Duration::from_millis(25);
/// How often the log is looked at although all seems well: a replica that was killed between a commit and telling of it tells
/// nobody.
const ROUND: Duration = Duration::from_secs(2);
/// How often the log is read while the link is down.
const TICK: Duration = Duration::from_millis(300);
/// How long to wait before reading again what could not be read.
const PAUSE: Duration = Duration::from_millis(200);
/// Events in one reading.
const AT_ONCE: i64 = 500;
/// Topics in one question.
const TOPICS_AT_ONCE: usize = 5_000;

/// What the reader of the log has to know.
#[derive(Debug)]
pub(super) struct Gaps {
    /// Whether the link is up, and how often somebody asked to look.
    wanted: watch::Sender<(bool, u64)>,
}

impl Default for Gaps {
    fn default() -> Self {
        Self {
            wanted: watch::Sender::new((true, 0)),
        }
    }
}

impl Gaps {
    /// While the link is down the log is read all the time; when it is back, once more.
    pub(super) fn link_is(&self, up: bool) {
        self.wanted.send_modify(|(is_up, looks)| {
            *is_up = up;
            *looks += 1;
        });
    }

    /// Something may have been lost.
    pub(super) fn look(&self) {
        self.wanted.send_modify(|(_, looks)| *looks += 1);
    }
}

impl Hub {
    /// Read the log whenever that is needed, for ever.
    pub async fn watch_the_log(self) {
        let mut wanted = self.0.gaps.wanted.subscribe();
        loop {
            let (is_up, _) = *wanted.borrow_and_update();
            if let Err(error) = self.look_everywhere().await {
                warn!(?error, "Cannot read the log");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let _ = tokio::time::timeout(if is_up { ROUND } else { TICK }, wanted.changed()).await;
        }
    }

    /// Tell whatever the log has and we have not.
    async fn look_everywhere(&self) -> Result<()> {
        let mut told = self.interest().told();
        // What is told to people may be about what was told in chats.
        told.sort_by_key(|(topic, _)| matches!(topic, Topic::User(_)));
        for told in told.chunks(TOPICS_AT_ONCE) {
            let topics: Vec<Topic> = told.iter().map(|(topic, _)| *topic).collect();
            let newest = log::newest(&self.0.db, &topics).await?;
            for (topic, last) in told {
                if newest.get(topic).is_some_and(|newest| newest > last) {
                    self.read_on(*topic).await?;
                }
            }
        }
        Ok(())
    }

    /// Something is missing in a topic: look for it, unless it comes by itself in a moment. One looks for all: while two replicas write
    /// to a busy chat, there is always some gap.
    pub(super) fn fill_soon(&self, topic: Topic) {
        let hub = self.clone();
        self.0.tasks.spawn("fill a gap", async move {
            loop {
                let missing = hub.interest().told_up_to(topic);
                tokio::time::sleep(GRACE).await;
                if !hub.interest().has_gap_still(topic) {
                    return;
                }
                // Another gap than a moment ago may still close by itself.
                if hub.interest().told_up_to(topic) == missing {
                    hub.fill(topic).await;
                }
            }
        });
    }

    /// Read on in a topic until that succeeds, or nobody listens any more.
    pub(super) async fn fill(&self, topic: Topic) {
        while let Err(error) = self.read_on(topic).await {
            warn!(?error, ?topic, "Cannot read the log");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tell what the log has of a topic beyond what was told.
    async fn read_on(&self, topic: Topic) -> Result<()> {
        loop {
            let Some(last) = self.interest().told_up_to(topic) else {
                return Ok(());
            };
            let missing = log::after(&self.0.db, topic, last, AT_ONCE).await?;
            let count = missing.len();
            for envelope in missing {
                self.0.metrics.gaps_filled.inc();
                self.accept(Arc::new(envelope));
            }
            if count > 0 && self.0.gaps.wanted.borrow().0 {
                // While the link is down this is how everything is told, and the link has said so.
                info!(?topic, count, "Told from the log what did not come over the bus");
            }
            if i64::try_from(count).unwrap_or(i64::MAX) < AT_ONCE {
                return Ok(());
            }
        }
    }

    /// A connection joined a topic at a place that others had passed: tell it what came since, then what waits behind that.
    pub(super) async fn tell_earlier(&self, id: ConnectionId, user: UserId, topic: Topic, from: Seq) {
        loop {
            match self.read_earlier(user, topic, from).await {
                Ok(Some((earlier, upto))) => return self.interest().release(id, topic, &earlier, upto),
                // They have left again meanwhile.
                Ok(None) => return self.cease(&mut self.interest(), id, topic),
                Err(error) => warn!(?error, ?topic, "Cannot read the log"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What was told after a place while `user` was there, and up to where that reaches; nothing if they are not there any more.
    async fn read_earlier(
        &self,
        user: UserId,
        topic: Topic,
        from: Seq,
    ) -> Result<Option<(Vec<Arc<Delivery>>, Seq)>> {
        let (mut earlier, mut last, mut is_there) = (Vec::new(), from, true);
        loop {
            if !self.interest().unplaced(&[topic]).is_empty() {
                // Somebody else is asking where the topic is, or was, and has given up.
                for (topic, last) in log::newest(&self.0.db, &[topic]).await? {
                    let mut interest = self.interest();
                    let outcome = interest.place(topic, last);
                    self.conclude(&mut interest, topic, outcome);
                }
            }
            // What is told from now on waits with the connection, so whatever lies up to here is all that has to be read.
            let upto = self.interest().told_up_to(topic).unwrap_or(last);
            if last >= upto {
                return Ok(is_there.then_some((earlier, upto)));
            }
            let read = log::after(&self.0.db, topic, last, AT_ONCE).await?;
            if read.is_empty() {
                return Err(Error::internal("a log that ends before what was told"));
            }
            for delivery in read.into_iter().map(Arc::new).filter_map(Delivery::new) {
                last = delivery.seq();
                match membership::of(&delivery, user) {
                    Some(now) => is_there = now,
                    None if is_there => earlier.push(Arc::new(delivery)),
                    None => {}
                }
            }
        }
    }
}
