//! Find people by a part of their user name.

use shared::account::{FindPeople, PeopleFound};

use super::{rules, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller, presence},
    limits::Limited,
};

pub async fn people(backend: &Backend, caller: &Caller, ask: FindPeople) -> Result<PeopleFound> {
    backend.limits.check(Limited::Search, caller.user).await?;
    let text = ask
        .q
        .or(ask.query)
        .ok_or_else(|| Error::invalid("q", "is required"))?;
    let part = text.to_lowercase();
    let mut names = store::names(&backend.db, caller, &part, rules::has_trigrams(&part)).await?;
    let total = i64::try_from(names.len()).unwrap_or(i64::MAX);
    names.truncate(ask.limit.get());
    let mut users = store::people(&backend.db, &backend.settings, caller, &names).await?;
    let people = users.iter_mut().map(|person| &mut person.user);
    presence::seen_by(backend, backend.db.read(), caller.user, people).await?;
    Ok(PeopleFound { users, total })
}
