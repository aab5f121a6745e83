//! What a socket hears of what it asked: an acknowledgement if it wants one, and the events of the contract (3.5, 3.6).

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use shared::{
    ChatId, MessageId,
    command::Reply,
    message::Message,
    problem::{Code, Problem, Reason},
    topic::Seq,
};
use utoipa::ToSchema;

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

/// What is longer is no id, and no key that we take.
const LONGEST: usize = 128;

/// What a command named, so that the answer can say it again: who asks for several things at once has to tell the answers apart.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reaction_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<String>,
}

impl Named {
    fn of(payload: &str) -> Self {
        let fields: Value = serde_json::from_str(payload).unwrap_or_default();
        let named = |field: &str| {
            let id = fields.get(field)?.as_str().filter(|id| id.len() <= LONGEST)?;
            Some(id.to_owned())
        };
        Self {
            chat_id: named("chatId"),
            message_id: named("messageId"),
            reaction_id: named("reactionId"),
            client_message_id: named("clientMessageId"),
        }
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

/// It is done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    #[serde(flatten)]
    pub named: Named,
    pub timestamp: DateTime<Utc>,
}

impl Done {
    pub fn of(payload: &str, timestamp: DateTime<Utc>) -> Self {
        Self {
            named: Named::of(payload),
            timestamp,
        }
    }
}

/// The message is sent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    pub message_id: MessageId,
    pub chat_id: ChatId,
    pub timestamp: DateTime<Utc>,
    #[schema(value_type = Message)]
    pub message: Box<RawValue>,
}

impl Sent {
    pub fn of(message: &Message) -> Result<Self> {
        Ok(Self {
            message_id: message.id,
            chat_id: message.chat_id,
            timestamp: message.created_at,
            message: to_raw_value(message).map_err(Error::internal)?,
        })
    }
}

/// It is not done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    #[serde(flatten)]
    pub named: Named,
    /// A sentence to show to a person.
    pub error: Cow<'static, str>,
    /// The same sentence.
    pub message: Cow<'static, str>,
    pub code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Seconds until it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The name of the command, where the name of the answer does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

impl Refused {
    pub fn of(name: &str, payload: &str, problem: &Problem) -> Self {
        // Long enough for every name that we know.
        let event = (names::answers(name).failure == "error").then(|| name.chars().take(64).collect());
        Self {
            named: Named::of(payload),
            error: problem.error.clone(),
            message: problem.message.clone(),
            code: problem.code,
            reason: problem.reason,
            retry_after: problem.retry_after,
            event,
        }
    }
}

pub fn success(name: &str, payload: &str, reply: &Reply, now: DateTime<Utc>) -> Result<Answer> {
    match reply {
        Reply::Sent(message) => {
            let behind = Some((message.chat_id, message.seq));
            answer(true, names::answers(name).success, Sent::of(message)?, behind)
        }
        Reply::Done => {
            let done = Done::of(payload, now);
            answer(true, names::answers(name).success, done, None)
        }
    }
}

pub fn failure(name: &str, payload: &str, problem: &Problem) -> Result<Answer> {
    let refused = Refused::of(name, payload, problem);
    answer(false, Some(names::answers(name).failure), refused, None)
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
