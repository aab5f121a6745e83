//! The document of the live interface (AsyncAPI), made from the names and types that sockets use.

use serde_json::{Map, Value, json};
use shared::{
    account::Status,
    command::{OfChat, OfMessage},
    event::{Described, Kind},
    message::{EditMessage, React, SendMessage},
    problem::Reason,
    samples,
};
use utoipa::ToSchema;

use super::{
    answer::{Done, Refused, Sent},
    handshake::Hello,
    names::{self, ASKED, OfReaction, OfStatus, Several},
    own::{Leaving, Opened, Resync, Why},
};
use crate::{doors::session::Positions, error::Error};

/// The whole document.
pub fn document() -> Value {
    let mut schemas = Schemas::default();
    let told = told(&mut schemas);
    let asked: Map<_, _> = ASKED
        .iter()
        .map(|name| ((*name).to_owned(), asked(name, &mut schemas)))
        .collect();
    let answered = answered(&mut schemas);
    let hello = hello(&mut schemas);
    let mut operations = Map::new();
    operations.insert(
        "hear".to_owned(),
        json!({"action": "send", "channel": at(&["channels", "told"]),
            "summary": "What the server tells, from the moment of the connection on. Nothing has to be joined."}),
    );
    operations.insert(
        "connect".to_owned(),
        json!({"action": "receive", "channel": at(&["channels", "opened"]),
            "summary": "What a client says when it connects: the `auth` of its library."}),
    );
    for name in ASKED {
        let success = if name == "message:send" { "sent" } else { "done" };
        operations.insert(
            name.to_owned(),
            json!({
                "action": "receive",
                "channel": at(&["channels", "asked"]),
                "summary": about_command(name),
                "messages": [at(&["channels", "asked", "messages", name])],
                "reply": {
                    "channel": at(&["channels", "answered"]),
                    "messages": [
                        at(&["channels", "answered", "messages", success]),
                        at(&["channels", "answered", "messages", "refused"]),
                    ],
                },
            }),
        );
    }
    let channel = |title: &str, messages: Map<String, Value>| json!({"address": "/socket.io/", "title": title, "servers": [at(&["servers", "gateway"])], "messages": messages});
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Messenger, live",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What is told and asked over Socket.IO (protocol 5, namespace `/`, WebSocket or polling). Each message here is \
                an event of Socket.IO: its `name`, and its `payload` as the only argument. With an acknowledgement, a command is \
                answered by one; without, or besides, by the event of the same content that its operation names.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"gateway": {
            "host": "localhost:3000",
            "protocol": "socket.io",
            "description": "Any gateway; all of them are one.",
            "security": [at(&["components", "securitySchemes", "accessToken"])],
        }},
        "channels": {
            "opened": channel("What a client says first", hello),
            "told": channel("What the server tells", told),
            "asked": channel("What a client asks", asked),
            "answered": channel("How an acknowledgement answers", answered),
        },
        "operations": operations,
        "components": {
            "schemas": schemas.0,
            "securitySchemes": {"accessToken": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "The `accessToken` of registering, logging in or refreshing, as `token` in the `auth` of the connection.",
            }},
        },
    })
}

/// Every event that a socket may hear.
fn told(schemas: &mut Schemas) -> Map<String, Value> {
    let (alice, chat, now) = (samples::alice().id, samples::group().id, samples::noon());
    let positions = Positions::from([(chat, samples::message().seq)]);
    let opened = Opened {
        user_id: alice,
        timestamp: now,
        positions: Some(positions),
    };
    let resync = Resync {
        chat_id: chat,
        reason: Why::TooFarBack,
    };
    let mut told = Map::new();
    let mut tell = |name: &str, about: &str, payload: Value, example: Value| {
        told.insert(name.to_owned(), message(name, about, payload, vec![example]));
    };
    tell(
        names::OPENED,
        "The connection is open; what was missed follows.",
        schemas.of::<Opened>(),
        json!(opened),
    );
    tell(
        names::RESYNC,
        "What came since is not told again: read this chat anew.",
        schemas.of::<Resync>(),
        json!(resync),
    );
    tell(
        names::LEAVING,
        "This replica leaves; come back, the balancer knows another one.",
        schemas.of::<Leaving>(),
        json!(Leaving::at(now)),
    );
    for kind in Kind::ALL {
        for name in names::of(*kind) {
            let (payload, example) = event(*kind, schemas);
            tell(name, about_event(*kind), payload, example);
        }
    }
    for name in ASKED {
        let answers = names::answers(name);
        let refused = json!(refused(name));
        tell(
            answers.failure,
            "What was asked is not done.",
            schemas.of::<Refused>(),
            refused,
        );
        match answers.success {
            Some("message:sent") => {
                let example = json!(Sent::of(&samples::message()).expect("samples can be written"));
                tell(
                    "message:sent",
                    "The message is sent.",
                    schemas.of::<Sent>(),
                    example,
                );
            }
            Some(success) => tell(
                success,
                "What was asked is done.",
                schemas.of::<Done>(),
                json!(done(name)),
            ),
            None => {}
        }
    }
    told
}

/// The body of an event, and an example.
fn event(kind: Kind, schemas: &mut Schemas) -> (Value, Value) {
    let body = samples::event(kind).body().expect("samples can be written");
    let mut example: Value = serde_json::from_str(&body).expect("this is JSON");
    let mut payload = schemas.add(kind.body());
    if names::is_list(kind) {
        (example, payload) = (example[0].take(), payload["items"].take());
    }
    let required = match kind {
        // Told in passing, several at once, or a message, which knows its place by itself.
        Kind::StatusChanged | Kind::TypingStarted | Kind::TypingStopped => return (payload, example),
        Kind::MessageSent | Kind::MessagesDelivered | Kind::MessagesRead => return (payload, example),
        // In passing to all but the person themselves.
        Kind::ProfileUpdated => json!([]),
        _ => json!(["seq"]),
    };
    example["seq"] = json!(samples::message().seq + 1);
    let placed = json!({"type": "object", "required": required, "properties": {"seq": {
        "type": "integer",
        "description": "Its place in the order of what it was told in: of the chat, or of what only this person is told.",
    }}});
    (json!({"allOf": [payload, placed]}), example)
}

/// Everything that a client may send by this name.
fn asked(name: &str, schemas: &mut Schemas) -> Value {
    let (chat, said) = (samples::group().id, samples::message().id);
    let (of_chat, of_message) = (json!({"chatId": chat}), json!({"messageId": said}));
    let (payload, examples) = match name {
        "chat:join" | "chat:leave" | "chat:mark-all-read" | "typing:start" | "typing:stop" => {
            (schemas.of::<OfChat>(), vec![of_chat])
        }
        "message:delete" | "message:delivered" => (schemas.of::<OfMessage>(), vec![of_message]),
        "message:mark-read" | "message:read" => (
            json!({"anyOf": [schemas.of::<OfMessage>(), schemas.of::<Several>()]}),
            vec![of_message, json!({"messageIds": [said]})],
        ),
        "message:edit" => (
            json!({"allOf": [schemas.of::<OfMessage>(), schemas.of::<EditMessage>()]}),
            vec![json!({"messageId": said, "content": "Hello <b>Robert</b>"})],
        ),
        "message:send" => (
            json!({"allOf": [schemas.of::<OfChat>(), schemas.of::<SendMessage>()]}),
            vec![json!({"chatId": chat, "content": "Hello <b>Bob</b>", "clientMessageId": "01J9Z3-7"})],
        ),
        "presence:heartbeat" => (json!({}), vec![json!({})]),
        "presence:update" => (schemas.of::<OfStatus>(), vec![json!({"status": Status::Away})]),
        "reaction:add" => (
            json!({"allOf": [schemas.of::<OfMessage>(), schemas.of::<React>()]}),
            vec![json!({"messageId": said, "emoji": "👍"})],
        ),
        "reaction:remove" => (
            schemas.of::<OfReaction>(),
            vec![json!({"messageId": said, "reactionId": samples::reaction().id})],
        ),
        unknown => unreachable!("`{unknown}` is not described"),
    };
    message(name, about_command(name), payload, examples)
}

/// What an acknowledgement says.
fn answered(schemas: &mut Schemas) -> Map<String, Value> {
    let with = |success: bool, payload: Value| {
        json!({"allOf": [payload, {
            "type": "object", "required": ["success"], "properties": {"success": {"const": success}},
        }]})
    };
    let answer = |success: bool, mut said: Value| {
        said["success"] = json!(success);
        vec![said]
    };
    let sent = json!(Sent::of(&samples::message()).expect("samples can be written"));
    let done_payload = with(true, schemas.of::<Done>());
    let sent_payload = with(true, schemas.of::<Sent>());
    let refused_payload = with(false, schemas.of::<Refused>());
    let messages = [
        message(
            "done",
            "It is done.",
            done_payload,
            answer(true, json!(done("typing:start"))),
        ),
        message("sent", "The message is sent.", sent_payload, answer(true, sent)),
        message(
            "refused",
            "It is not done.",
            refused_payload,
            answer(false, json!(refused("message:send"))),
        ),
    ];
    messages
        .into_iter()
        .map(|message| (message["name"].as_str().unwrap_or_default().to_owned(), message))
        .collect()
}

/// What a client says when it connects.
fn hello(schemas: &mut Schemas) -> Map<String, Value> {
    let example = json!({
        "token": samples::ACCESS_TOKEN,
        "positions": Positions::from([(samples::group().id, samples::message().seq)]),
    });
    let hello = message(
        "auth",
        "Who is there, and what they have seen.",
        schemas.of::<Hello>(),
        vec![example],
    );
    Map::from_iter([("auth".to_owned(), hello)])
}

fn refused(name: &str) -> Refused {
    let payload = json!({"chatId": samples::group().id});
    Refused::of(
        name,
        &payload.to_string(),
        &Error::Forbidden(Reason::ChatLeft).problem(),
    )
}

fn done(name: &str) -> Done {
    let payload = match name {
        "presence:heartbeat" => json!({}),
        name if name.starts_with("message:") => json!({"messageId": samples::message().id}),
        _ => json!({"chatId": samples::group().id}),
    };
    Done::of(&payload.to_string(), samples::noon())
}

fn message(name: &str, about: &str, payload: Value, examples: Vec<Value>) -> Value {
    let examples = examples
        .into_iter()
        .map(|payload| Value::from_iter([("payload", payload)]));
    Value::from_iter([
        ("name", name.into()),
        ("summary", about.into()),
        ("payload", payload),
        ("examples", examples.collect()),
    ])
}

/// A reference to another place in the document.
fn at(path: &[&str]) -> Value {
    json!({"$ref": format!("#/{}", path.join("/"))})
}

/// The schemas with names of their own.
#[derive(Default)]
struct Schemas(Map<String, Value>);

impl Schemas {
    /// A reference to the schema of this type.
    fn of<T: ToSchema>(&mut self) -> Value {
        let (name, described) = (T::name().into_owned(), Described::of::<T>());
        let schema = self.add(described);
        self.0.insert(name.clone(), schema);
        at(&["components", "schemas", &name])
    }

    /// The schema itself; what it refers to gets a name.
    fn add(&mut self, described: Described) -> Value {
        for (name, schema) in described.refers_to {
            self.0.insert(name, json!(schema));
        }
        json!(described.schema)
    }
}

fn about_event(kind: Kind) -> &'static str {
    match kind {
        Kind::AnswerFlushed | Kind::LineBroke | Kind::SessionEnded => "",
        Kind::ChatDeleted => "A group is gone, for everybody.",
        Kind::ChatRead => "The person themselves has read a chat up to here, perhaps on another device.",
        Kind::ChatStarted => "The person is in this chat from now on.",
        Kind::ChatUpdated => "A group looks different.",
        Kind::ContactAccepted => "Two people are contacts from now on. Told to both.",
        Kind::ContactEnded => "Two people are not contacts any more. Told to both.",
        Kind::ContactRequested => "Somebody asks to become a contact.",
        Kind::ContactRequestRejected => "A request was rejected, or withdrawn. Told to both.",
        Kind::MemberJoined => "Somebody is in a group from now on.",
        Kind::MemberLeft => "Somebody is not in a group any more. Told to them, too.",
        Kind::MessageDeleted => "A message was taken back: forget what it said.",
        Kind::MessageEdited => "A message says something else.",
        Kind::MessageSent => "A message. Told again after a break: know it by its id.",
        Kind::MessagesDelivered => "To its author: a message has reached somebody for the first time.",
        Kind::MessagesRead => "To its author: somebody has read a message.",
        Kind::ProfileUpdated => "Somebody has another name or picture.",
        Kind::ReactionAdded => "Somebody has reacted to a message.",
        Kind::ReactionRemoved => "Somebody has taken a reaction back.",
        Kind::StatusChanged => {
            "A contact came, went, or is away. `user.status` says the same to older clients."
        }
        Kind::TypingStarted => "Somebody is writing. It ends by itself if nothing more is heard of it.",
        Kind::TypingStopped => "Somebody has ceased to write.",
    }
}

fn about_command(name: &str) -> &'static str {
    match name {
        "chat:join" => "Nothing has to be joined; this only says whether one may be there.",
        "chat:leave" => "Nothing is left by this: leaving is for REST.",
        "chat:mark-all-read" => "Everything in a chat is read.",
        "message:delete" => "Take one's message back.",
        "message:delivered" => {
            "A message has arrived. What was written to a socket counts as delivered by itself."
        }
        "message:edit" => "Let one's message say something else.",
        "message:mark-read" | "message:read" => "Messages are read, and with them everything before them.",
        "message:send" => "Send a message. Again with the same key, it is the same message.",
        "presence:heartbeat" => "The client is there.",
        "presence:update" => "Be shown as online, away or offline.",
        "reaction:add" => "React to a message.",
        "reaction:remove" => "Take one's reaction back.",
        "typing:start" => "Say that one is writing.",
        "typing:stop" => "Say that one has ceased to.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_would_be_taken() {
        for name in ASKED {
            let message = asked(name, &mut Schemas::default());
            for example in message["examples"].as_array().unwrap() {
                let payload = example["payload"].to_string();
                assert!(
                    matches!(names::asked(name, &payload), Some(Ok(_))),
                    "{name} {payload}"
                );
            }
        }
    }
}
