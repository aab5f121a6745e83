//! What a history says besides the judgement: how long messages took, and all that is known of one.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use uuid::Uuid;

use super::{Client, Connection, Entry, Finding, What};

/// How long a message took from its answer to a client that was connected all the while.
#[derive(Clone, Debug)]
pub struct Delay {
    pub client: Client,
    pub connection: Connection,
    pub message: Uuid,
    pub acknowledged: Duration,
    pub took: Duration,
}

/// All of them.
pub fn delays(history: &[Entry]) -> Vec<Delay> {
    let mut acknowledged: HashMap<Uuid, Duration> = HashMap::new();
    let mut opened: HashMap<Connection, Duration> = HashMap::new();
    for entry in history {
        match &entry.what {
            What::Acknowledged { message, .. } => {
                acknowledged.entry(*message).or_insert(entry.at);
            }
            What::Opened { connection, .. } => {
                opened.insert(*connection, entry.at);
            }
            _ => {}
        }
    }
    let delay = |entry: &Entry| {
        let What::Told {
            connection, message, ..
        } = entry.what
        else {
            return None;
        };
        let acknowledged = *acknowledged.get(&message)?;
        (*opened.get(&connection)? < acknowledged).then(|| Delay {
            client: entry.client,
            connection,
            message,
            acknowledged,
            took: entry.at.saturating_sub(acknowledged),
        })
    };
    history.iter().filter_map(delay).collect()
}

/// Everything that the history of a run says about one finding, for people.
pub fn story(history: &[Entry], finding: &Finding) -> Vec<Entry> {
    let keys: HashSet<&str> = history
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Acknowledged { key, message, .. } if *message == finding.message => Some(key.as_str()),
            _ => None,
        })
        .collect();
    let is_about = |entry: &&Entry| match &entry.what {
        What::Sent { key, .. } | What::PutOff { key, .. } | What::Refused { key, .. } => {
            keys.contains(key.as_str())
        }
        What::Acknowledged { message, .. } | What::Told { message, .. } | What::Read { message, .. } => {
            *message == finding.message
        }
        What::Opened { .. } | What::Closed { .. } => Some(entry.client) == finding.client,
        What::Begins { chat, .. } => *chat == finding.chat && Some(entry.client) == finding.client,
        What::Readmits { chat, .. } => *chat == finding.chat,
    };
    history.iter().filter(is_about).cloned().collect()
}
