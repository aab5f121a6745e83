//! One live connection, whatever its protocol: what is opened, and what has to be told before anything live.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use shared::{
    ChatId,
    problem::Reason,
    topic::{Seq, Topic},
};

use crate::{
    error::{Error, Result},
    fanout::{Attachment, Hub, Listener},
    features::{
        Backend, Caller,
        sessions::open::{self, Stretch},
    },
    lifecycle::Tasks,
};

/// What doors with live connections need.
#[derive(Clone, Debug)]
pub struct Live {
    pub backend: Arc<Backend>,
    pub hub: Hub,
    pub tasks: Tasks,
    /// Over how long clients are sent away when this replica leaves.
    pub drain_window: Duration,
}

/// The places that a client says it has seen, by chat.
pub type Positions = HashMap<ChatId, Seq>;

/// A connection that hears everything from here on.
#[derive(Debug)]
pub struct Opened {
    /// Hears as long as it is kept.
    pub attachment: Attachment,
    pub past: Past,
}

/// What lies before that, as far as it has to be told.
#[derive(Debug, Default)]
pub struct Past {
    /// From where on each chat is heard.
    pub heard: Positions,
    /// What others wrote and this person has not got.
    pub undelivered: Vec<Stretch>,
    /// What this client has missed since the places it named.
    pub missed: Vec<Stretch>,
    /// Chats that the client named but is not in, or that it claims to know further than they are.
    pub unknown: Vec<ChatId>,
}

/// Listen first, look second: what happens in between is heard, and what happened before is found.
pub async fn open(
    live: &Live,
    caller: &Caller,
    listener: Listener,
    began: DateTime<Utc>,
    named: Positions,
) -> Result<Opened> {
    let backend = &live.backend;
    let attachment = live.hub.attach(listener);
    attachment.listen(&[Topic::User(caller.user)]).await?;
    let turn = backend.turns.take().await;
    let topics: Vec<Topic> = open::places(backend, caller, began)
        .await?
        .iter()
        .map(|place| Topic::Chat(place.chat))
        .collect();
    // Redis may be slow, and others need it not.
    drop(turn);
    let heard = attachment.listen(&topics).await?;

    // Asked again: whoever was removed while we began to listen must not hear what comes, and whoever was logged out must not be
    // here. If it happens from now on, an event says so.
    let turn = backend.turns.take().await;
    let places = open::places(backend, caller, began).await?;
    if !backend.sessions.is_living_now(backend, caller).await? {
        return Err(Error::Unauthenticated(Reason::SessionEnded));
    }
    drop(turn);
    for topic in topics {
        if !places.iter().any(|place| Topic::Chat(place.chat) == topic) {
            attachment.cease(topic);
        }
    }
    // Until here, what came waited: whoever is not in a chat any more hears nothing of it.
    for (topic, upto) in &heard {
        attachment.release(*topic, *upto);
    }
    let mut past = Past::default();
    for place in places {
        let Some(upto) = heard.get(&Topic::Chat(place.chat)).copied() else {
            continue;
        };
        past.heard.insert(place.chat, upto);
        let (chat, after) = (place.chat, place.has_upto);
        match named.get(&chat) {
            Some(seen) if *seen == upto => {}
            Some(seen) if (0..=upto).contains(seen) => past.missed.push(Stretch {
                chat,
                after: *seen,
                upto,
            }),
            Some(_) => past.unknown.push(chat),
            None if after < upto => past.undelivered.push(Stretch { chat, after, upto }),
            None => {}
        }
    }
    let strange = named.keys().filter(|chat| !past.heard.contains_key(chat));
    past.unknown.extend(strange.copied());
    Ok(Opened { attachment, past })
}
