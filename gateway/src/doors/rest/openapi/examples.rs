//! Examples for the document: what Alice and Bob ask and are answered. All are values of the types that the routes use, so none can be
//! out of date.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use shared::{
    account::{LogIn, LogOut, PeopleFound, PersonFound, Refresh, Register, UpdateProfile},
    chat::{AddMembers, ChatCursor, ChatPage, RenameGroup, StartDirectChat, StartGroup},
    contact::{BlockState, ContactRequests, Contacts, RequestContact},
    health::{Checks, Detailed, DetailedChecks, Health, Live, Ready, State},
    message::{EditMessage, MessagePage, React, SendMessage},
    problem::Problem,
    samples,
    search::{MessageFound, MessagesFound},
    session::LoginSessions,
};
use utoipa::{
    ToSchema,
    openapi::{Ref, RefOr, Schema},
};

use crate::{
    doors::{
        json::from_json,
        rest::{
            media::UploadAnswer,
            wrapped::{
                AttachmentAnswer, ChatAnswer, ContactAnswer, MessageAnswer, ReactionAnswer, RequestAnswer,
                UserAnswer,
            },
        },
    },
    error::Error,
};

/// A body that is taken, and what is said of one that is not.
pub(super) struct Asked {
    pub(super) good: Value,
    pub(super) refusal: Problem,
}

/// What may be asked with a body of this schema.
pub(super) fn asked(schema: &RefOr<Schema>) -> Option<Asked> {
    let (alice, bob, message) = (samples::alice(), samples::bob(), samples::message());
    let not_an_id = json!("bob");
    let bodies = [
        body::<AddMembers>(
            json!({"participantIds": [bob.id]}),
            json!({"participantIds": [not_an_id]}),
        ),
        body::<EditMessage>(json!({"content": "Hello <b>Robert</b>"}), json!({"content": " "})),
        body::<LogIn>(
            json!({"username": "alice", "password": "Wonderland1"}),
            json!({"username": "alice"}),
        ),
        body::<LogOut>(
            json!({"refreshToken": samples::REFRESH_TOKEN}),
            json!({"refreshToken": 1}),
        ),
        body::<React>(json!({"emoji": "👍"}), json!({"emoji": ""})),
        body::<Refresh>(json!({"refreshToken": samples::REFRESH_TOKEN}), json!({})),
        body::<Register>(
            json!({"username": "alice", "password": "Wonderland1", "passwordConfirm": "Wonderland1", "displayName": "Alice"}),
            json!({"username": "al"}),
        ),
        body::<RenameGroup>(json!({"name": "Tea party"}), json!({"name": "<b></b>"})),
        body::<RequestContact>(json!({"contactId": bob.id}), json!({"contactId": not_an_id})),
        body::<SendMessage>(
            json!({"content": "Hello <b>Bob</b>", "clientMessageId": "01J9Z3-7", "replyToId": message.id}),
            json!({"content": "Hello", "replyToId": not_an_id}),
        ),
        body::<StartDirectChat>(json!({"contactId": alice.id}), json!({"contactId": not_an_id})),
        body::<StartGroup>(
            json!({"name": "Tea party", "participantIds": [bob.id]}),
            json!({"name": "Tea party"}),
        ),
        body::<UpdateProfile>(
            json!({"displayName": "Alice", "status": "away"}),
            json!({"status": "asleep"}),
        ),
    ];
    of_schema(bodies, schema)
}

fn body<T: DeserializeOwned + ToSchema>(good: Value, bad: Value) -> (String, Asked) {
    let read = |body: Value| from_json::<T>(body.to_string().as_bytes());
    debug_assert!(read(good.clone()).is_ok(), "{good} is not taken");
    let refusal = read(bad).err().unwrap_or_else(|| Error::Invalid(Vec::new()));
    (
        T::name().into_owned(),
        Asked {
            good,
            refusal: refusal.problem(),
        },
    )
}

/// An answer of this schema, from a server that is in this state.
pub(super) fn answered(schema: &RefOr<Schema>, state: State) -> Option<Value> {
    let message = samples::message();
    let checks = Checks {
        database: state,
        redis: State::Ok,
        storage: State::Ok,
    };
    let version = env!("CARGO_PKG_VERSION");
    let answers = [
        answer(AttachmentAnswer::from(samples::attachment())),
        answer(BlockState {
            contact_id: samples::bob().id,
            is_blocked: true,
        }),
        answer(ChatAnswer::from(samples::group())),
        answer(ChatPage {
            chats: vec![samples::group()],
            next_cursor: Some(
                ChatCursor {
                    at: samples::noon(),
                    id: samples::group().id,
                }
                .to_string(),
            ),
            has_more: true,
        }),
        answer(ContactAnswer::from(samples::contact())),
        answer(ContactRequests {
            requests: vec![samples::request()],
        }),
        answer(Contacts {
            contacts: vec![samples::contact()],
        }),
        answer(Detailed {
            status: state,
            checks: DetailedChecks {
                database: state.into(),
                redis: State::Ok.into(),
                storage: State::Ok.into(),
            },
            timestamp: samples::noon(),
            version,
            uptime: 3_600.5,
        }),
        answer(Health {
            status: State::Ok,
            timestamp: samples::noon(),
            version,
            uptime: 3_600.5,
            services: checks,
            database: State::Ok.into(),
            redis: State::Ok.into(),
            storage: State::Ok.into(),
        }),
        answer(Live {
            status: State::Ok,
            alive: true,
            timestamp: samples::noon(),
        }),
        answer(samples::logged_in()),
        answer(LoginSessions {
            sessions: vec![samples::login_session()],
        }),
        answer(MessageAnswer::from(samples::message())),
        answer(MessagePage {
            cursor: Some(message.created_at),
            next_cursor: Some(message.created_at),
            has_more: true,
            data: vec![message],
        }),
        answer(MessagesFound {
            data: vec![MessageFound {
                message: samples::message(),
                chat_name: samples::group().name,
            }],
            cursor: None,
            next_cursor: None,
            has_more: false,
            total: 1,
        }),
        answer(PeopleFound {
            users: vec![PersonFound {
                user: samples::bob(),
                is_contact: true,
                has_pending_request: false,
            }],
            total: 1,
        }),
        answer(ReactionAnswer::from(samples::reaction())),
        answer(Ready {
            status: state,
            ready: state == State::Ok,
            checks,
            draining: false,
            timestamp: samples::noon(),
        }),
        answer(RequestAnswer::from(samples::request())),
        answer(UploadAnswer::of(vec![samples::attachment()]).expect("there is an image")),
        answer(UserAnswer::from(samples::alice())),
    ];
    of_schema(answers, schema)
}

fn answer<T: Serialize + ToSchema>(answer: T) -> (String, Value) {
    let answer = serde_json::to_value(answer).expect("answers can be written");
    (T::name().into_owned(), answer)
}

/// An id of this schema; nothing, if it is not that of ids.
pub(super) fn id(schema: &RefOr<Schema>) -> Option<Value> {
    let ids = [
        ("AttachmentId", json!(samples::attachment().id)),
        ("ChatId", json!(samples::group().id)),
        ("ContactId", json!(samples::request().id)),
        ("MessageId", json!(samples::message().id)),
        ("SessionId", json!(samples::login_session().id)),
        ("UserId", json!(samples::bob().id)),
    ];
    of_schema(ids.map(|(name, id)| (name.to_owned(), id)), schema)
}

/// What belongs to the schema that is referred to; also if that may be left out.
fn of_schema<T>(all: impl IntoIterator<Item = (String, T)>, schema: &RefOr<Schema>) -> Option<T> {
    let name = match schema {
        RefOr::Ref(reference) => name_of(reference),
        RefOr::T(Schema::OneOf(choice)) => choice.items.iter().find_map(|item| match item {
            RefOr::Ref(reference) => Some(name_of(reference)),
            RefOr::T(_) => None,
        })?,
        RefOr::T(_) => return None,
    };
    all.into_iter().find(|(of, _)| of == name).map(|(_, it)| it)
}

pub(super) fn name_of(reference: &Ref) -> &str {
    reference
        .ref_location
        .rsplit_once('/')
        .map_or("", |(_, name)| name)
}
