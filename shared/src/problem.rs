//! Everything that can go wrong, as programs and people read it.
//!
//! One body serves two readers: `error` and `message` are the sentences the existing client shows, `type`, `title`, `status` and
//! `instance` are those of RFC 9457. Programs branch on `code`, and on `reason` where a code is too coarse.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The kind of failure. Exactly one HTTP status each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    Conflict,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RateLimitExceeded,
    ServiceUnavailable,
    Unauthorized,
    UnsupportedMediaType,
    ValidationError,
}

impl Code {
    pub fn status(self) -> u16 {
        match self {
            Self::ValidationError => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::RateLimitExceeded => 429,
            Self::InternalError => 500,
            Self::ServiceUnavailable => 503,
        }
    }

    /// The code for a status that something below the handlers chose.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            409 => Self::Conflict,
            413 => Self::PayloadTooLarge,
            415 => Self::UnsupportedMediaType,
            429 => Self::RateLimitExceeded,
            502..=504 => Self::ServiceUnavailable,
            400..=499 => Self::ValidationError,
            _ => Self::InternalError,
        }
    }

    /// The name of the kind: the same for every occurrence.
    pub fn title(self) -> &'static str {
        match self {
            Self::ValidationError => "Invalid request",
            Self::Unauthorized => "Not logged in",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Conflict => "Conflict",
            Self::PayloadTooLarge => "Too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::RateLimitExceeded => "Too many requests",
            Self::InternalError => "Internal error",
            Self::ServiceUnavailable => "Temporarily unavailable",
        }
    }

    /// What is said when nobody knows more.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ValidationError => "The request is not valid.",
            Self::Unauthorized => "Please log in.",
            Self::Forbidden => "You are not allowed to do this.",
            Self::NotFound => "There is nothing at this address.",
            Self::MethodNotAllowed => "This address does not support that method.",
            Self::Conflict => "This conflicts with what is already there.",
            Self::PayloadTooLarge => "The request is too large.",
            Self::UnsupportedMediaType => "This kind of content is not supported here.",
            Self::RateLimitExceeded => "Too many requests. Please try again later.",
            Self::InternalError => "Something went wrong on our side.",
            Self::ServiceUnavailable => "The service is temporarily unavailable. Please try again.",
        }
    }

    fn uri(self) -> &'static str {
        match self {
            Self::ValidationError => "urn:messenger:problem:validation-error",
            Self::Unauthorized => "urn:messenger:problem:unauthorized",
            Self::Forbidden => "urn:messenger:problem:forbidden",
            Self::NotFound => "urn:messenger:problem:not-found",
            Self::MethodNotAllowed => "urn:messenger:problem:method-not-allowed",
            Self::Conflict => "urn:messenger:problem:conflict",
            Self::PayloadTooLarge => "urn:messenger:problem:payload-too-large",
            Self::UnsupportedMediaType => "urn:messenger:problem:unsupported-media-type",
            Self::RateLimitExceeded => "urn:messenger:problem:rate-limit-exceeded",
            Self::InternalError => "urn:messenger:problem:internal-error",
            Self::ServiceUnavailable => "urn:messenger:problem:service-unavailable",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident: $code:ident, $sentence:literal;)+) => {
        /// A finer reason, where a program must branch on it. Each belongs to one code and has its sentence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            pub fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)+ }
            }

            pub fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)+ }
            }
        }
    };
}

reasons! {
    /// Too many wrong passwords for this name: `retryAfter` says when log-ins are taken again.
    AccountLocked: RateLimitExceeded, "Too many failed log-ins for this name. Please try again later.";
    /// More log-ins or images wait for their turn than this server works off in a few seconds.
    Busy: RateLimitExceeded, "The server is busy. Please try again in a moment.";
    /// The image is in a message already: it goes with the message.
    AttachmentUsed: Conflict, "This image is already in a message.";
    /// These two people know each other already.
    AlreadyContacts: Conflict, "You are already contacts.";
    /// Somebody who is to be added to a group is in it already.
    AlreadyMember: Conflict, "Somebody you want to add is already a member of this group.";
    /// The caller was in this chat, but is not any more.
    ChatLeft: Forbidden, "You are no longer a member of this chat.";
    /// The key of this message belongs to another one, in another chat.
    ClientKeyReused: Conflict, "This message key was already used in another chat.";
    /// A group can only have so many members.
    GroupFull: Conflict, "A group cannot have that many members.";
    /// Only the owner and admins of a group may do this.
    NotAdmin: Forbidden, "Only the owner and the admins of a group can do this.";
    /// Direct chats are for people who have accepted each other.
    NotContacts: Forbidden, "You can only write to people who are your contacts.";
    /// Only the owner of a group may do this.
    NotOwner: Forbidden, "Only the owner of a group can do this.";
    /// Direct chats belong to their two people for ever.
    OnlyInGroups: Forbidden, "A direct chat cannot be renamed, left or deleted, and nobody can be added to it or removed.";
    /// The owner of a group is removed by nobody: they leave, or delete the group.
    OwnerStays: Forbidden, "The owner of a group cannot be removed.";
    /// The message was deleted: nobody can change it or react to it any more.
    MessageDeleted: Conflict, "This message was deleted.";
    /// Messages are changed and deleted by whoever sent them.
    NotSender: Forbidden, "Only the person who sent a message can change or delete it.";
    /// Images are deleted by whoever uploaded them.
    NotUploader: Forbidden, "Only the person who uploaded an image can delete it.";
    /// Reactions are removed by whoever reacted.
    NotYourReaction: Forbidden, "You can only remove your own reactions.";
    /// Whoever sent a request cannot accept it.
    OwnRequest: Forbidden, "Only the person you asked can accept this request.";
    /// The caller has used up a rate; `retryAfter` says when it is worth trying again.
    RateExceeded: RateLimitExceeded, "Too many requests. Please slow down.";
    /// A request between these two waits for an answer, in one direction or the other.
    RequestPending: Conflict, "There is already a pending request between you two.";
    /// The refresh token is unknown, expired, or was replaced more than a minute ago.
    RefreshTokenInvalid: Unauthorized, "Your session has expired. Please log in again.";
    /// The login session was ended: by logging out, by revoking it, or because an old refresh token turned up.
    SessionEnded: Unauthorized, "Your session has ended. Please log in again.";
    /// What the system says is not for reacting to.
    SystemMessage: Conflict, "You cannot react to this message.";
    /// The access token is past its time: refresh it.
    TokenExpired: Unauthorized, "Your access token has expired.";
    /// The access token is not one of ours.
    TokenInvalid: Unauthorized, "The access token is not valid.";
    /// No access token came along.
    TokenMissing: Unauthorized, "Please log in: an access token is required.";
    /// One of these two has blocked the other: it is not said which.
    Unreachable: Forbidden, "You cannot reach this person.";
    /// One person has put as many different emojis on one message as are allowed.
    TooManyReactions: Conflict, "You cannot add more reactions to this message.";
    /// Somebody else has this user name.
    UsernameTaken: Conflict, "This username is already taken.";
    /// Profiles are for contacts and for members of a common chat.
    ProfileHidden: Forbidden, "You can only see the profiles of your contacts and of people you share a chat with.";
    /// The user name is unknown or the password does not fit: nobody learns which.
    WrongCredentials: Unauthorized, "Wrong username or password.";
}

/// What is wrong with one field of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// The path to the field, such as `password` or `participantIds[2]`.
    #[schema(example = "username")]
    pub field: String,
    #[schema(example = "must have 3 to 50 characters")]
    pub message: String,
}

impl FieldProblem {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A sentence to show to a person.
    #[schema(example = "This username is already taken.")]
    pub error: Cow<'static, str>,
    /// The same sentence.
    #[schema(example = "This username is already taken.")]
    pub message: Cow<'static, str>,
    pub code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    #[schema(example = 409)]
    pub status_code: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<FieldProblem>,
    /// Seconds until it is worth trying again; also in the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    #[serde(rename = "type")]
    #[schema(example = "urn:messenger:problem:conflict")]
    pub kind: Cow<'static, str>,
    #[schema(example = "Conflict")]
    pub title: Cow<'static, str>,
    #[schema(example = 409)]
    pub status: u16,
    /// The path that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/api/auth/register")]
    pub instance: Option<String>,
    /// The id under which the logs know this request; also in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    pub fn new(code: Code, sentence: impl Into<Cow<'static, str>>) -> Self {
        let sentence = sentence.into();
        Self {
            error: sentence.clone(),
            message: sentence,
            code,
            reason: None,
            status_code: code.status(),
            details: Vec::new(),
            retry_after: None,
            kind: code.uri().into(),
            title: code.title().into(),
            status: code.status(),
            instance: None,
            request_id: None,
        }
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code, code.sentence())
    }
}

impl From<Reason> for Problem {
    fn from(reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(reason.code(), reason.sentence())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_the_same_in_both_worlds() {
        let body = serde_json::to_value(Problem::from(Reason::UsernameTaken)).unwrap();
        assert_eq!(body["error"], body["message"]);
        assert_eq!(body["code"], "CONFLICT");
        assert_eq!(body["reason"], "USERNAME_TAKEN");
        assert_eq!((&body["status"], &body["statusCode"]), (&409.into(), &409.into()));
        assert!(body.get("details").is_none() && body.get("retryAfter").is_none());
    }
}
