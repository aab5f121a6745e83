//! What a socket hears of what it asked: an acknowledgement if it wants one, and the events of the contract (3.5, 3.6).

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};
use shared::{ChatId, MessageId, command::Reply, problem::Problem, topic::Seq};

use super::names;
use crate::error::{Error, Result};

/// The answer to one command.
#[derive(Debug)]
pub struct Answer {
    pub is_success: bool,
    /// The event that says it, if there is one.
    pub event: Option<(&'static str, Box<RawValue>)>,
    /// What the acknowledgement says.
    pub ack: Box<RawValue>,
    /// Not before this place of this chat has been told.
    pub behind: Option<(ChatId, Seq)>,
}

/// Fields that say what a command is about.
const NAMED: [&str; 4] = ["chatId", "messageId", "reactionId", "clientMessageId"];
const LONGEST: usize = 128;

/// What a command named, so that the answer can say it again: who asks for several things at once has to tell the answers apart.
#[derive(Debug, Default)]
struct Named(Map<String, Value>);

impl Named {
    fn of(payload: &str) -> Self {
        let Ok(Value::Object(fields)) = serde_json::from_str(payload) else {
            return Self::default();
        };
        let named = fields
            .into_iter()
            .filter(|(name, _)| NAMED.contains(&name.as_str()))
            // What is longer is no id, and no key that we take.
            .filter(|(_, id)| id.as_str().is_some_and(|id| id.len() <= LONGEST));
        Self(named.collect())
    }
}

/// What is said, with or without saying whether it worked.
#[derive(Serialize)]
struct Said<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    #[serde(flatten)]
    said: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    message_id: MessageId,
    chat_id: ChatId,
    timestamp: DateTime<Utc>,
    message: &'a RawValue,
}

pub fn success(name: &str, payload: &str, reply: &Reply, now: DateTime<Utc>) -> Result<Answer> {
    match reply {
        Reply::Sent(message) => {
            let sent = Sent {
                message_id: message.id,
                chat_id: message.chat_id,
                timestamp: message.created_at,
                message: &to_raw_value(message).map_err(Error::internal)?,
            };
            let behind = Some((message.chat_id, message.seq));
            answer(true, Some("message:sent"), sent, behind)
        }
        Reply::Done => {
            let mut said = Named::of(payload).0;
            said.insert("timestamp".to_owned(), json!(now));
            answer(true, names::answers(name).success, said, None)
        }
    }
}

pub fn failure(name: &str, payload: &str, problem: &Problem) -> Result<Answer> {
    let event = names::answers(name).failure;
    let mut said = Named::of(payload).0;
    said.insert("error".to_owned(), json!(problem.message));
    said.insert("message".to_owned(), json!(problem.message));
    said.insert("code".to_owned(), json!(problem.code));
    if let Some(reason) = problem.reason {
        said.insert("reason".to_owned(), json!(reason));
    }
    if let Some(seconds) = problem.retry_after {
        said.insert("retryAfter".to_owned(), json!(seconds));
    }
    if event == "error" {
        // Long enough for every name that we know.
        let name: String = name.chars().take(64).collect();
        said.insert("event".to_owned(), json!(name));
    }
    answer(false, Some(event), said, None)
}

fn answer(
    is_success: bool,
    event: Option<&'static str>,
    said: impl Serialize,
    behind: Option<(ChatId, Seq)>,
) -> Result<Answer> {
    let raw = |success: Option<bool>| to_raw_value(&Said { success, said: &said }).map_err(Error::internal);
    Ok(Answer {
        is_success,
        event: event
            .map(|event| Ok::<_, Error>((event, raw(None)?)))
            .transpose()?,
        ack: raw(Some(is_success))?,
        behind,
    })
}
