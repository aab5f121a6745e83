//! Note that messages have arrived.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use shared::{MessageId, event::Event, message::DeliveryStatus, problem::Reason, receipt::MessageDelivered};
use tracing::warn;

use super::{Reached, TOLD, places_for, rules::Reach, store};
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Backend, Caller},
};

/// A client says that it has a message.
pub async fn message(backend: &Backend, caller: &Caller, id: MessageId) -> Result<()> {
    let goals = store::goals(&backend.db, caller.user, &[id]).await?;
    let goal = goals.first().ok_or(Error::NotFound("message"))?;
    if !goal.is_member {
        return Err(Error::Forbidden(Reason::ChatLeft));
    }
    let Some(upto) = goal.seq else {
        return Ok(());
    };
    let reached = Reached {
        chat: goal.chat,
        user: caller.user,
        upto,
    };
    note(backend, &[reached]).await
}

/// We know ourselves that messages have arrived: of many people, in many chats. Who is not in their chat any more is ignored, and
/// so is who was further already.
///
/// Authors are told of messages that have reached their first recipient, and not of later ones: the tick says "somebody has it",
/// and in a group of three hundred nobody wants to hear three hundred times that it still does. In each chat they are told of the
/// newest [`TOLD`].
pub async fn note(backend: &Backend, reached: &[Reached]) -> Result<()> {
    if !store::any_further(&backend.db, reached).await? {
        return Ok(());
    }
    let tx = backend.begin().await?;
    deliver(tx, reached, backend.clock.now()).await
}

/// The caller of `tx` fetches messages. If they are new to them, that is noted, but nobody waits for it.
pub async fn note_fetched(backend: &Backend, tx: &mut Tx, reached: Reached) -> Result<()> {
    if store::delivered(tx, reached.chat, reached.user).await? >= reached.upto {
        return Ok(());
    }
    let (db, bus, metrics) = (backend.db.clone(), backend.bus.clone(), backend.metrics.clone());
    let tasks = backend.tasks.clone();
    let now = backend.clock.now();
    backend.tasks.spawn("note what was fetched", async move {
        let noted = async { deliver(db.begin(&bus, &tasks, &metrics).await?, &[reached], now).await };
        if let Err(error) = noted.await {
            warn!(?error, user = %reached.user, chat = %reached.chat, "Cannot note that messages have arrived");
        }
    });
    Ok(())
}

async fn deliver(mut tx: Tx, reached: &[Reached], now: DateTime<Utc>) -> Result<()> {
    let moved = store::advance_delivered(&mut tx, reached).await?;
    if moved.is_empty() {
        return Ok(());
    }
    let mut chats: Vec<_> = moved.iter().map(|moved| moved.chat).collect();
    chats.sort_unstable();
    chats.dedup();
    let reach = Reach::new(&store::positions(&mut tx, &chats).await?, &moved);
    let stretches = reach.stretches();
    let mut news = Vec::new();
    if !stretches.is_empty() {
        news = store::told_of_delivery(&mut tx, &stretches, TOLD).await?;
        news.retain(|message| reach.first_to_get(message).is_some());
    }
    if !news.is_empty() {
        // Somebody may be telling the same authors of the same messages at this moment: let them, and look again.
        let authors: Vec<_> = news.iter().map(|message| message.author).collect();
        store::hold_topics(&mut tx, &authors).await?;
        let reach = Reach::new(&store::positions(&mut tx, &chats).await?, &moved);
        let mut told = BTreeMap::<_, Vec<_>>::new();
        for message in news {
            if let Some(first) = reach.first_to_get(&message) {
                told.entry(message.author).or_default().push(MessageDelivered {
                    message_id: message.id,
                    chat_id: message.chat,
                    delivered_to: first,
                    user_id: first,
                    status: DeliveryStatus::Delivered,
                    delivered_at: now,
                });
            }
        }
        let places = places_for(&mut tx, told, now).await?;
        let events = places
            .into_iter()
            .map(|(place, messages)| (place, Event::MessagesDelivered(messages)));
        tx.record_all(&events.collect::<Vec<_>>()).await?;
    }
    tx.commit().await
}
