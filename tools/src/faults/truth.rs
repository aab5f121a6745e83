//! What the history of every chat says, read over REST as a member would.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use super::cast::Cast;
use crate::{
    client::Rest,
    crowd::{
        ledger::{Kept, Stay, Truth},
        population::Chat,
    },
};

const PAGE: Duration = Duration::from_secs(5);

/// What has been judged, and who is where now.
#[derive(Clone, Debug)]
pub struct Known {
    since: HashMap<Uuid, i64>,
    stays: HashMap<Uuid, Vec<Stay>>,
}

impl Known {
    pub fn at_the_beginning(cast: &Cast) -> Self {
        let stays = cast.chats().map(|(chat, _)| {
            let stay = |member: &usize| Stay {
                user: cast.population.people[*member].id,
                after: 0,
                before: None,
            };
            (chat.id, chat.members.iter().map(stay).collect())
        });
        Self {
            since: cast.chats().map(|(chat, _)| (chat.id, 0)).collect(),
            stays: stays.collect(),
        }
    }

    /// Read what came since, from any replica.
    pub async fn read(&self, cast: &Cast, door: usize) -> Result<Truth> {
        let chats: Vec<(Chat, usize)> = cast.chats().map(|(chat, owner)| (chat.clone(), owner)).collect();
        let read: Vec<(Uuid, Vec<Value>)> = stream::iter(chats)
            .map(|(chat, owner)| {
                let (rest, since) = (cast.rest(door, owner), self.since[&chat.id]);
                async move {
                    let messages = history(&rest, chat.id, since).await;
                    messages
                        .map(|messages| (chat.id, messages))
                        .with_context(|| format!("cannot read chat {}", chat.id))
                }
            })
            .buffered(8)
            .try_collect()
            .await?;
        let mut truth = Truth {
            since: self.since.clone(),
            chats: HashMap::new(),
            stays: self.stays.clone(),
        };
        for (chat, messages) in read {
            for message in &messages {
                follow(truth.stays.entry(chat).or_default(), message);
            }
            truth
                .chats
                .insert(chat, messages.iter().filter_map(kept).collect());
        }
        Ok(truth)
    }

    /// All of this has been judged.
    pub fn learn(&mut self, truth: &Truth) {
        self.stays.clone_from(&truth.stays);
        for (chat, messages) in &truth.chats {
            if let Some(last) = messages.iter().map(|kept| kept.seq).max() {
                self.since.insert(*chat, last);
            }
        }
    }
}

/// The messages behind a place, as the pages list them, the oldest first.
async fn history(rest: &Rest, chat: Uuid, since: i64) -> Result<Vec<Value>> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/chats/{chat}/messages?limit=100{cursor}");
        let page = timeout(PAGE, rest.get(&path)).await??.expect(200)?;
        let messages = page["data"].as_array().cloned().unwrap_or_default();
        let seq = |message: &Value| message["seq"].as_i64().unwrap_or_default();
        let reaches_back = messages.first().is_none_or(|oldest| seq(oldest) <= since);
        let mut page_of_it: Vec<Value> = messages
            .into_iter()
            .filter(|message| seq(message) > since)
            .collect();
        page_of_it.append(&mut found);
        found = page_of_it;
        match page["nextCursor"].as_str() {
            Some(next) if !reaches_back => cursor = format!("&cursor={next}"),
            _ => return Ok(found),
        }
    }
}

fn kept(message: &Value) -> Option<Kept> {
    Some(Kept {
        message: message["id"].as_str()?.parse().ok()?,
        seq: message["seq"].as_i64()?,
        sender: message["senderId"]
            .as_str()
            .and_then(|sender| sender.parse().ok()),
        key: message["metadata"]["key"].as_str().map(str::to_owned),
    })
}

/// Who comes and goes is said by the system, right behind the event itself.
fn follow(stays: &mut Vec<Stay>, message: &Value) {
    let notice = &message["metadata"]["system"];
    let Some(seq) = message["seq"].as_i64() else {
        return;
    };
    let id = |value: &Value| value.as_str().and_then(|id| id.parse::<Uuid>().ok());
    match notice["kind"].as_str() {
        Some("member_removed" | "member_left") => {
            let user = id(&notice["userId"]);
            let stay = stays
                .iter_mut()
                .find(|stay| Some(stay.user) == user && stay.before.is_none());
            if let Some(stay) = stay {
                stay.before = Some(seq - 1);
            }
        }
        Some("members_added") => {
            let users: Vec<Uuid> = notice["userIds"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(id)
                .collect();
            let after = seq - 1 - i64::try_from(users.len()).unwrap_or_default();
            stays.extend(users.into_iter().map(|user| Stay {
                user,
                after,
                before: None,
            }));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stays_follow_from_what_the_system_says() {
        let user = Uuid::new_v4();
        let mut stays = vec![Stay {
            user,
            after: 0,
            before: None,
        }];
        let says = |seq: i64, system: Value| json!({"seq": seq, "metadata": {"system": system}});
        follow(
            &mut stays,
            &says(8, json!({"kind": "member_removed", "userId": user})),
        );
        follow(
            &mut stays,
            &says(12, json!({"kind": "members_added", "userIds": [user]})),
        );
        let covered: Vec<i64> = (1..15)
            .filter(|seq| stays.iter().any(|stay| stay.covers(*seq)))
            .collect();
        // Place 7 is the removal itself, place 11 the coming back.
        assert_eq!(covered, [1, 2, 3, 4, 5, 6, 11, 12, 13, 14]);
    }
}
