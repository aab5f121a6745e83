//! How people are shown, and who is told.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::{
    UserId,
    account::{Status, User},
    chat::{Chat, Member},
    event::Event,
    presence::StatusChanged,
    topic::Topic,
};
use sqlx::PgExecutor;
use tracing::warn;

use super::store;
use crate::{
    db::Tx,
    error::Result,
    features::{Backend, Caller, accounts, contacts},
    limits::Limited,
};

/// How often and how many times telling is tried again.
const PAUSE: Duration = Duration::from_secs(2);
const TRIES: u32 = 30;

/// Whoever is there is shown as they chose to be; whoever is not, is offline.
pub fn shown(chosen: Option<Status>, is_here: bool) -> Status {
    if is_here {
        chosen.unwrap_or(Status::Online)
    } else {
        Status::Offline
    }
}

/// Somebody who is about to be shown.
pub struct Portrait<'a> {
    id: UserId,
    chosen: Option<Status>,
    status: &'a mut Status,
    last_seen: Option<&'a mut Option<DateTime<Utc>>>,
}

impl<'a> From<&'a mut User> for Portrait<'a> {
    fn from(user: &'a mut User) -> Self {
        Self {
            id: user.id,
            chosen: user.chosen_status,
            status: &mut user.status,
            last_seen: Some(&mut user.last_seen),
        }
    }
}

impl<'a> From<&'a mut Member> for Portrait<'a> {
    fn from(member: &'a mut Member) -> Self {
        Self {
            id: member.id,
            chosen: member.chosen_status,
            status: &mut member.status,
            last_seen: None,
        }
    }
}

/// Show these people as anybody may see them whom nobody has blocked.
pub async fn seen<'a, P: Into<Portrait<'a>>>(backend: &Backend, people: impl IntoIterator<Item = P>) {
    let mut people: Vec<Portrait<'_>> = people.into_iter().map(Into::into).collect();
    paint(backend, &mut people).await;
}

async fn paint(backend: &Backend, people: &mut [Portrait<'_>]) {
    let ids: Vec<UserId> = people.iter().map(|person| person.id).collect();
    let here = backend.presence.here(&ids).await;
    for person in people {
        *person.status = shown(person.chosen, here.contains(&person.id));
    }
}

/// Show these people as `viewer` may see them. Whoever has a block between them sees nothing of the other's coming and going.
///
/// `database` is the connection that the caller has anyway: to wait for another one while holding one is how pools run dry.
pub async fn seen_by<'a, P: Into<Portrait<'a>>>(
    backend: &Backend,
    database: impl PgExecutor<'_>,
    viewer: UserId,
    people: impl IntoIterator<Item = P>,
) -> Result<()> {
    let mut people: Vec<Portrait<'_>> = people.into_iter().map(Into::into).collect();
    paint(backend, &mut people).await;
    let ids: Vec<UserId> = people.iter().map(|person| person.id).collect();
    let hidden = contacts::hidden_from(database, viewer, &ids).await?;
    for person in people {
        if person.id == viewer {
            // What they chose, even while no socket of theirs is open: this is where they choose.
            *person.status = person.chosen.unwrap_or(*person.status);
        } else if hidden.contains(&person.id) {
            *person.status = Status::Offline;
            if let Some(last_seen) = person.last_seen {
                *last_seen = None;
            }
        }
    }
    Ok(())
}

/// Show who is in these chats as `viewer` may see them.
pub async fn in_chats(backend: &Backend, tx: &mut Tx, viewer: UserId, chats: &mut [Chat]) -> Result<()> {
    let participants = chats.iter_mut().flat_map(|chat| &mut chat.participants);
    seen_by(
        backend,
        tx.conn(),
        viewer,
        participants.map(|participant| &mut participant.user),
    )
    .await
}

/// Show who is in a chat as all of them may see it at once. Where one has blocked another, neither is shown to be there: each sees
/// more when they look themselves.
pub async fn seen_by_all(backend: &Backend, tx: &mut Tx, chat: &mut Chat) -> Result<()> {
    let ids: Vec<UserId> = chat
        .participants
        .iter()
        .map(|participant| participant.user_id)
        .collect();
    let at_odds = contacts::at_odds(tx, &ids).await?;
    let members = chat
        .participants
        .iter_mut()
        .map(|participant| &mut participant.user);
    let mut portraits: Vec<Portrait<'_>> = members.map(Portrait::from).collect();
    paint(backend, &mut portraits).await;
    for portrait in portraits
        .into_iter()
        .filter(|portrait| at_odds.contains(&portrait.id))
    {
        *portrait.status = Status::Offline;
    }
    Ok(())
}

/// Somebody came or went: their contacts are told, unless they do not want to be seen.
pub(super) async fn announce(backend: &Backend, user: UserId, is_here: bool) {
    for _ in 0..TRIES {
        let told = async {
            if !is_here {
                store::note_last_seen(&backend.db, user, backend.clock.now()).await?;
            }
            let chosen = store::chosen(&backend.db, user).await?;
            let Some(chosen) = chosen.filter(|chosen| shown(chosen.status, true) != Status::Offline) else {
                return Ok(());
            };
            tell(backend, user, shown(chosen.status, is_here), &chosen).await
        };
        match told.await {
            Ok(()) => return,
            Err(error) => warn!(?error, "Cannot tell that somebody came or went, trying again"),
        }
        tokio::time::sleep(PAUSE).await;
        if backend.presence.here(&[user]).await.contains(&user) != is_here {
            // It is not true any more, and whoever changed it tells of that.
            return;
        }
    }
}

/// Somebody chose how to be shown.
pub async fn announce_choice(backend: &Backend, user: UserId) {
    let told = async {
        let is_here = backend.presence.here(&[user]).await.contains(&user);
        match store::chosen(&backend.db, user).await? {
            Some(chosen) if is_here => tell(backend, user, shown(chosen.status, true), &chosen).await,
            _ => Ok(()),
        }
    };
    if let Err(error) = told.await {
        warn!(?error, "Cannot tell how somebody wants to be shown");
    }
}

async fn tell(backend: &Backend, user: UserId, status: Status, chosen: &store::Chosen) -> Result<()> {
    let changed = StatusChanged {
        user_id: user,
        status,
        last_seen: chosen.last_seen,
        timestamp: backend.clock.now(),
    };
    let audience = contacts::audience(backend.db.read(), user).await?;
    let topics = audience.into_iter().chain([user]).map(Topic::User);
    backend
        .bus
        .publish_passing(topics, &Event::StatusChanged(changed))
}

/// Choose how to be shown, over a live connection. More often than the limit says, it is not heard.
pub async fn choose(backend: &Backend, caller: &Caller, status: Status) -> Result<()> {
    if backend.limits.check(Limited::Status, caller.user).await.is_err() {
        return Ok(());
    }
    accounts::update::status(backend, caller, status).await
}
