//! Who is writing. Nobody remembers it, and nobody needs to hear of every key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared::{ChatId, UserId, event::Event, presence::Typing, topic::Topic};
use tokio::{sync::Notify, time::Instant};

use super::store;
use crate::{
    error::Result,
    features::{Backend, Caller},
};

/// Told again after this, and over when nothing was heard for so long.
const EPISODE: Duration = Duration::from_secs(3);
/// Chats that somebody may write in at once.
const AT_ONCE: usize = 20;

/// Who writes where, as told on this replica.
#[derive(Debug, Default)]
pub struct Typists(Mutex<HashMap<UserId, HashMap<ChatId, Episode>>>);

#[derive(Debug)]
struct Episode {
    told: Instant,
    until: Instant,
    /// Rung when it is over before its time.
    over: Arc<Notify>,
    /// Nothing for people who are not in the chat: they write for nobody.
    typing: Option<Typing>,
}

impl Typists {
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, HashMap<ChatId, Episode>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, user: UserId, chat: ChatId) -> Option<Episode> {
        let mut typists = self.lock();
        let chats = typists.get_mut(&user)?;
        let episode = chats.remove(&chat);
        if chats.is_empty() {
            typists.remove(&user);
        }
        episode
    }
}

/// A key was pressed.
pub async fn start(backend: &Arc<Backend>, caller: &Caller, chat: ChatId) -> Result<()> {
    let now = Instant::now();
    let user = caller.user;
    let typists = &backend.presence.typing;
    let is_new = {
        let mut typists = typists.lock();
        let chats = typists.entry(user).or_default();
        if let Some(episode) = chats.get_mut(&chat) {
            episode.until = now + EPISODE;
            if now < episode.told + EPISODE {
                return Ok(());
            }
            episode.told = now;
            None
        } else {
            if chats.len() >= AT_ONCE {
                return Ok(());
            }
            let over = Arc::new(Notify::new());
            let episode = Episode {
                told: now,
                until: now + EPISODE,
                over: over.clone(),
                typing: None,
            };
            chats.insert(chat, episode);
            Some(over)
        }
    };
    if let Some(over) = is_new {
        // From here on, the episode ends by itself.
        let for_later = backend.clone();
        backend
            .tasks
            .spawn("wait until somebody ceases to write", async move {
                cease_in_time(&for_later, user, chat, &over).await;
            });
    }
    // Asked each time it is told: they may not belong here any more.
    let Some((username, display_name)) = store::typist(&backend.db, user, chat).await? else {
        return Ok(());
    };
    let typing = Typing {
        chat_id: chat,
        user_id: user,
        username,
        display_name: Some(display_name),
    };
    let is_on = typists
        .lock()
        .get_mut(&user)
        .and_then(|chats| chats.get_mut(&chat))
        .map(|episode| episode.typing = Some(typing.clone()))
        .is_some();
    if is_on {
        tell(backend, &Event::TypingStarted(typing))?;
    }
    Ok(())
}

async fn cease_in_time(backend: &Backend, user: UserId, chat: ChatId, over: &Notify) {
    loop {
        let until = backend
            .presence
            .typing
            .lock()
            .get(&user)
            .and_then(|chats| Some(chats.get(&chat)?.until));
        let Some(until) = until else { return };
        if until <= Instant::now() {
            let _ = stop(backend, user, chat);
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = over.notified() => return,
        }
    }
}

/// Somebody ceased to write in a chat: by saying so, by sending, by leaving, or by silence.
pub fn stop(backend: &Backend, user: UserId, chat: ChatId) -> Result<()> {
    let Some(episode) = backend.presence.typing.take(user, chat) else {
        return Ok(());
    };
    episode.over.notify_one();
    match episode.typing {
        Some(typing) => tell(backend, &Event::TypingStopped(typing)),
        None => Ok(()),
    }
}

/// Somebody's last socket here is gone.
pub(super) fn stop_all(backend: &Backend, user: UserId) {
    let chats: Vec<ChatId> = backend
        .presence
        .typing
        .lock()
        .get(&user)
        .map(|chats| chats.keys().copied().collect())
        .unwrap_or_default();
    for chat in chats {
        let _ = stop(backend, user, chat);
    }
}

fn tell(backend: &Backend, event: &Event) -> Result<()> {
    let (Event::TypingStarted(typing) | Event::TypingStopped(typing)) = event else {
        return Ok(());
    };
    backend.bus.publish_passing([Topic::Chat(typing.chat_id)], event)
}
