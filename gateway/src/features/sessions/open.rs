//! Open a live connection: what may its person listen to, and what have they not got yet?

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    ChatId, MessageId,
    message::Message,
    problem::Reason,
    topic::{Seq, Topic},
};

use super::store;
use crate::{
    bus::Envelope,
    db::log,
    error::{Error, Result},
    features::{Backend, Caller, Way, messages},
};

/// Who may open a live connection with this token. Its time does not matter: as long as the login session lives, so does this.
pub async fn identify(backend: &Backend, access_token: &str) -> Result<Caller> {
    let claims = backend.access_tokens.read(access_token)?;
    let caller = Caller {
        user: claims.user,
        session: claims.session,
        way: Way::Live,
    };
    if backend.sessions.is_living(backend, &caller).await? {
        Ok(caller)
    } else {
        Err(Error::Unauthenticated(Reason::SessionEnded))
    }
}

/// A chat that somebody is in, and how far they got in it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub chat: ChatId,
    pub has_upto: Seq,
}

/// An event names a moment a little earlier than the one in which it is told.
const A_LITTLE: TimeDelta = TimeDelta::milliseconds(100);

/// All chats that the caller is in now, and what they have in each of them. A connection that is open hears everything, so what was
/// said since it `began` it has not, whichever other connection of theirs got it.
pub async fn places(backend: &Backend, caller: &Caller, began: DateTime<Utc>) -> Result<Vec<Place>> {
    store::places(&backend.db, caller.user, began - A_LITTLE, backend.clock.now()).await
}

/// A stretch of a chat's history: what comes after one place, up to another.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    pub chat: ChatId,
    pub after: Seq,
    pub upto: Seq,
}

/// Where a page of undelivered messages ended.
pub type Mark = (DateTime<Utc>, MessageId);

const PAGE: i64 = 200;

/// What others wrote in these stretches, the oldest first over all chats: one page, and where the next begins.
pub async fn undelivered(
    backend: &Backend,
    caller: &Caller,
    stretches: &[Stretch],
    after: Option<Mark>,
) -> Result<(Vec<Message>, Option<Mark>)> {
    let mut tx = backend.begin().await?;
    let ids = store::undelivered(&mut tx, caller.user, stretches, after, PAGE).await?;
    let page = messages::messages(&mut tx, &backend.settings, &ids).await?;
    let is_full = i64::try_from(page.len()).unwrap_or(i64::MAX) == PAGE;
    let next = page
        .last()
        .filter(|_| is_full)
        .map(|message| (message.created_at, message.id));
    Ok((page, next))
}

/// More events than this are not told one by one: reading the chat anew is quicker.
const AT_MOST: i64 = 2_000;

/// What was told in a stretch, event by event; nothing if it cannot be told completely any more.
pub async fn missed(backend: &Backend, caller: &Caller, stretch: Stretch) -> Result<Option<Vec<Envelope>>> {
    if !store::is_in(&backend.db, caller.user, stretch.chat).await? {
        return Ok(None);
    }
    let wanted = stretch.upto - stretch.after;
    if !(0..=AT_MOST).contains(&wanted) {
        return Ok(None);
    }
    let told = log::after(&backend.db, Topic::Chat(stretch.chat), stretch.after, wanted).await?;
    let is_complete = i64::try_from(told.len()).is_ok_and(|count| count == wanted);
    Ok(is_complete.then_some(told))
}
