//! One attempt to send a message, over the connection or over REST, and what it came to.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};
use uuid::Uuid;

use crate::client::Rest;

/// Whoever waits longer for an answer over REST asks again, elsewhere.
const PATIENCE: Duration = Duration::from_secs(8);

/// What became of an attempt.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Acknowledged {
        message: Uuid,
        seq: i64,
    },
    /// Nobody knows, or not now: ask again.
    Again(String),
    /// No.
    Never(String),
}

/// An attempt under way: the message's key, and what it comes to.
pub(super) type Attempt = BoxFuture<'static, (String, Outcome)>;

/// A message that is to be sent, until it is.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub chat: Uuid,
    pub text: String,
}

impl Pending {
    pub(super) fn payload(&self, key: &str) -> Value {
        json!({
            "chatId": self.chat,
            "content": self.text,
            "clientMessageId": key,
            // Echoed untouched: so the history tells which message has which key.
            "metadata": {"key": key},
        })
    }

    pub(super) fn by_rest(&self, key: String, door: &Rest) -> Attempt {
        let (payload, door) = (self.payload(&key), door.clone());
        let path = format!("/api/chats/{}/messages", self.chat);
        Box::pin(async move {
            let outcome = match timeout(PATIENCE, door.post(&path, payload)).await {
                Ok(Ok(answer)) if answer.is_success() => accepted(&answer["message"]),
                Ok(Ok(answer)) => refused(answer["code"].as_str().unwrap_or("no code"), &answer.text),
                Ok(Err(error)) => Outcome::Again(format!("{error:#}")),
                Err(_) => Outcome::Again("no answer in time".to_owned()),
            };
            (key, outcome)
        })
    }
}

/// An attempt over a connection: answered as long as that lasts, however late. Asking again behind one's own question would only
/// make both later.
pub(super) fn by_socket(key: String, ack: oneshot::Receiver<Value>) -> Attempt {
    Box::pin(async move {
        let outcome = match ack.await {
            Ok(answer) if answer["success"] == true => accepted(&answer["message"]),
            Ok(answer) => refused(answer["code"].as_str().unwrap_or("no code"), &answer.to_string()),
            Err(_) => Outcome::Again("the connection broke".to_owned()),
        };
        (key, outcome)
    })
}

fn accepted(message: &Value) -> Outcome {
    let id = message["id"].as_str().and_then(|id| id.parse().ok());
    match (id, message["seq"].as_i64()) {
        (Some(message), Some(seq)) => Outcome::Acknowledged { message, seq },
        _ => Outcome::Never(format!("an answer without id and place: {message}")),
    }
}

/// What passes is asked again, and so is what should never be answered: the reason is in the ledger.
fn refused(code: &str, answer: &str) -> Outcome {
    match code {
        "SERVICE_UNAVAILABLE" | "RATE_LIMIT_EXCEEDED" => Outcome::Again(code.to_owned()),
        "INTERNAL_ERROR" => Outcome::Again(format!("{code}: {answer}")),
        code => Outcome::Never(code.to_owned()),
    }
}
