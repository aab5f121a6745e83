//! Find people by a part of their user name.

use shared::account::{FindPeople, PeopleFound};

use super::store;
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
    let pattern = format!("%{}%", literal(&text.to_lowercase()));
    let mut found = store::people(&backend.db, &backend.settings, caller, &pattern, ask.limit.sql()).await?;
    let people = found.users.iter_mut().map(|person| &mut person.user);
    presence::seen_by(backend, backend.db.read(), caller.user, people).await?;
    Ok(found)
}

/// The text with everything that means something to LIKE made to mean itself.
fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_mean_themselves() {
        assert_eq!(literal(r"100%_\"), r"100\%\_\\");
    }
}
