//! What can go wrong in here, in words that know no protocol. Doors turn it into a `Problem` at the last step.

use std::{borrow::Cow, error::Error as StdError, time::Duration};

use shared::problem::{Code, FieldProblem, Problem, Reason};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of a failure: for the logs, never for the caller.
pub type Cause = Box<dyn StdError + Send + Sync>;

#[derive(Debug)]
pub enum Error {
    /// The request breaks a rule that holds for everybody at any time.
    Invalid(Vec<FieldProblem>),
    /// Nobody is logged in, or somebody wrongly.
    Unauthenticated(Reason),
    /// The caller may not do this.
    Forbidden(Reason),
    /// There is no such thing, or none that the caller may know of.
    NotFound(&'static str),
    /// It was possible once, but not the way things are.
    Conflict(Reason),
    /// Too often, or too many at once.
    TooMany {
        reason: Reason,
        retry_after: Duration,
        limit: Option<u32>,
    },
    /// More bytes than we take.
    TooLarge(Cow<'static, str>),
    /// Content of a kind that we do not read.
    Unsupported(Cow<'static, str>),
    /// Something we rely on is away; trying again may help.
    Unavailable(Cause),
    /// A mistake of ours.
    Internal(Cause),
}

impl Error {
    /// A single field is wrong.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem::new(field, message)])
    }

    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// What the caller is told.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Invalid(details) => {
                let sentence = details.first().map(sentence_of);
                let sentence = sentence.unwrap_or_else(|| Code::ValidationError.sentence().to_owned());
                Problem {
                    details: details.clone(),
                    ..Problem::new(Code::ValidationError, sentence)
                }
            }
            Self::Unauthenticated(reason) | Self::Forbidden(reason) | Self::Conflict(reason) => {
                (*reason).into()
            }
            Self::NotFound(what) => Problem::new(Code::NotFound, format!("There is no such {what}.")),
            Self::TooMany {
                reason, retry_after, ..
            } => Problem {
                retry_after: Some(whole_seconds(*retry_after)),
                ..(*reason).into()
            },
            Self::TooLarge(sentence) => Problem::new(Code::PayloadTooLarge, sentence.clone()),
            Self::Unsupported(sentence) => Problem::new(Code::UnsupportedMediaType, sentence.clone()),
            Self::Unavailable(_) => Problem {
                retry_after: Some(2),
                ..Code::ServiceUnavailable.into()
            },
            Self::Internal(_) => Code::InternalError.into(),
        }
    }

    /// The cause, for the one log line that a failure of ours is worth.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Unavailable(cause) | Self::Internal(cause) => Some(cause),
            _ => None,
        }
    }
}

/// `username` + `must have 3 to 50 characters` → `Username must have 3 to 50 characters.`
fn sentence_of(detail: &FieldProblem) -> String {
    let mut sentence = format!("{} {}.", detail.field, detail.message);
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    sentence
}

/// Rounded up: who comes back after this many seconds does not come too early.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let away = match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
            sqlx::Error::Database(e) => e.code().is_some_and(|code| passes(&code)),
            _ => false,
        };
        if away {
            Self::Unavailable(Box::new(error))
        } else {
            Self::Internal(Box::new(error))
        }
    }
}

/// Does this SQLSTATE stand for a state of the server that passes, rather than for a mistake in our statement?
fn passes(sqlstate: &str) -> bool {
    // Connection lost, out of resources, shut down or cancelled (which includes the statement timeout).
    const CLASSES: [&str; 3] = ["08", "53", "57"];
    // Serialisation failure, deadlock, read-only because a failover is under way, idle transaction ended, lock timeout.
    const STATES: [&str; 5] = ["40001", "40P01", "25006", "25P03", "55P03"];
    CLASSES.contains(&&sqlstate[..2.min(sqlstate.len())]) || STATES.contains(&sqlstate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stay_inside() {
        for error in [Error::internal("secret table"), Error::unavailable("secret host")] {
            let body = serde_json::to_string(&error.problem()).unwrap();
            assert!(!body.contains("secret"), "{body}");
        }
    }

    #[test]
    fn what_passes() {
        for state in ["08006", "53300", "57P01", "57014", "40001", "25006"] {
            assert!(passes(state), "{state}");
        }
        for state in ["23505", "42703", "22021", "", "0"] {
            assert!(!passes(state), "{state}");
        }
    }

    #[test]
    fn invalid_reads_as_a_sentence() {
        let problem = Error::invalid("username", "must have 3 to 50 characters").problem();
        assert_eq!(problem.message, "Username must have 3 to 50 characters.");
        assert_eq!(problem.details[0].field, "username");
    }
}
