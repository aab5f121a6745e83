//! Who is thought to be there, by every replica.

use std::time::Duration;

use anyhow::Result;
use futures_util::{StreamExt as _, stream};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::cast::Cast;

/// A killed replica's people are offline everywhere by then (P8).
const BY_THEN: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(500);
const PAGE: Duration = Duration::from_secs(5);

/// Wait until every replica thinks that exactly those are there who are, from `since` on by the clock of the ledger. Says what is
/// still wrong when the time is up.
pub async fn settle(cast: &Cast, is_here: impl Fn(usize) -> bool, since: Duration) -> Vec<String> {
    loop {
        let wrong = look(cast, &is_here).await;
        if wrong.is_empty() || cast.town.ledger.age() > since + BY_THEN {
            return wrong;
        }
        sleep(LOOK).await;
    }
}

async fn look(cast: &Cast, is_here: impl Fn(usize) -> bool) -> Vec<String> {
    let doors = 0..cast.town.doors().len();
    let people = 0..cast.population.people.len();
    let views = doors.flat_map(|door| people.clone().map(move |person| (door, person)));
    let seen: Vec<_> = stream::iter(views)
        .map(|(door, person)| async move { (door, person, contacts(cast, door, person).await) })
        .buffered(12)
        .collect()
        .await;
    let mut wrong = Vec::new();
    for (door, viewer, contacts) in seen {
        let contacts = match contacts {
            Ok(contacts) => contacts,
            Err(error) => {
                wrong.push(format!("replica {} does not say: {error:#}", door + 1));
                continue;
            }
        };
        for (id, status) in contacts {
            let Some(person) = cast.person(id) else { continue };
            let expected = if is_here(person) { "online" } else { "offline" };
            if status != expected {
                wrong.push(format!(
                    "replica {} tells person {viewer} that person {person} is {status}, who is {expected}",
                    door + 1
                ));
            }
        }
    }
    wrong
}

/// Somebody's contacts, as a replica shows them.
async fn contacts(cast: &Cast, door: usize, person: usize) -> Result<Vec<(Uuid, String)>> {
    let contacts = timeout(PAGE, cast.rest(door, person).get("/api/contacts"))
        .await??
        .expect(200)?;
    let contacts = contacts["contacts"].as_array().cloned().unwrap_or_default();
    let shown = contacts.iter().filter_map(|contact| {
        let id = contact["contactId"].as_str()?.parse().ok()?;
        Some((id, contact["status"].as_str()?.to_owned()))
    });
    Ok(shown.collect())
}
