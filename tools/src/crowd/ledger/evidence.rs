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

/// All of them. What a client has already may be told again later, which is no delay.
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
    let mut has = HashSet::new();
    let delay = |entry: &Entry| {
        let (message, connection) = match entry.what {
            What::Told {
                connection, message, ..
            } => (message, Some(connection)),
            What::Read { message, .. } => (message, None),
            _ => return None,
        };
        let is_first = has.insert((entry.client, message));
        let (connection, acknowledged) = (connection?, *acknowledged.get(&message)?);
        (is_first && *opened.get(&connection)? < acknowledged).then(|| Delay {
            client: entry.client,
            connection,
            message,
            acknowledged,
            took: entry.at.saturating_sub(acknowledged),
        })
    };
    history.iter().filter_map(delay).collect()
}

/// Everything that a history says about one finding, for people.
pub fn story(history: &[Entry], finding: &Finding) -> Vec<Entry> {
    let about = story_of(history, finding.message, finding.client.unwrap_or(Client::MAX));
    let more = history.iter().filter(|entry| match entry.what {
        What::Begins { chat, .. } => chat == finding.chat && Some(entry.client) == finding.client,
        What::Readmits { chat, .. } => chat == finding.chat,
        _ => false,
    });
    let mut told: Vec<Entry> = about.into_iter().chain(more.cloned()).collect();
    told.sort_by_key(|entry| entry.at);
    told
}

/// How a message came to everybody, and the connections of the client that it is about.
pub fn story_of(history: &[Entry], message: Uuid, client: Client) -> Vec<Entry> {
    let about = message;
    let keys: HashSet<&str> = history
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Acknowledged { key, message, .. } if *message == about => Some(key.as_str()),
            _ => None,
        })
        .collect();
    let is_about = |entry: &&Entry| match &entry.what {
        What::Sent { key, .. } | What::PutOff { key, .. } | What::Refused { key, .. } => {
            keys.contains(key.as_str())
        }
        What::Acknowledged { message, .. } | What::Told { message, .. } | What::Read { message, .. } => {
            *message == about
        }
        What::Opened { .. } | What::Closed { .. } => entry.client == client,
        What::Begins { .. } | What::Readmits { .. } => false,
    };
    history.iter().filter(is_about).cloned().collect()
}
