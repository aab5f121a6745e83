//! Every operation × (nobody, an expired token, a revoked session, a stranger, the person themselves) has an expected answer.
//! An operation that is not in the table fails the test: say here who may do it before anybody can.

use std::{collections::BTreeSet, time::Duration};

use gateway::doors::docs;
use reqwest::Method;
use serde_json::{Value, json};
use tools::client::{
    Rest,
    rest::{LoggedIn, PASSWORD},
};

use crate::{cluster::Cluster, contacts::befriend};

/// What an operation answers to whom.
struct Expectation {
    operation: &'static str,
    body: fn(&World) -> Value,
    /// The id in the path is something of Ada's.
    id: fn(&World) -> &str,
    ada: u16,
    stranger: u16,
    nobody: u16,
}

struct World {
    ada: String,
    session: String,
    /// Somebody else, whom Ada shares a group with.
    other: String,
    /// Ada's request to them.
    request: String,
    /// Somebody's request to Ada.
    incoming: String,
    /// Her direct chat with a contact.
    direct: String,
    /// A group of Ada's, and its readable address.
    chat: String,
    slug: String,
    /// A message of Ada's in it, and her reaction to it.
    message: String,
    reaction: String,
    /// An image that she uploaded.
    image: String,
    name: String,
    refresh_token: String,
}

/// One white pixel.
const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

fn nothing(_: &World) -> Value {
    Value::Null
}

fn no_id(_: &World) -> &str {
    ""
}

const PUBLIC: Expectation = Expectation {
    operation: "",
    body: nothing,
    id: no_id,
    ada: 200,
    stranger: 200,
    nobody: 200,
};
const PRIVATE: Expectation = Expectation {
    nobody: 401,
    ..PUBLIC
};

fn table() -> Vec<Expectation> {
    let health = ["/health", "/health/live", "/health/ready", "/health/detailed"];
    let health = health
        .iter()
        .flat_map(|path| [path.to_string(), format!("/api{path}")]);
    let mut table: Vec<_> = health
        .map(|path| Expectation {
            operation: format!("get {path}").leak(),
            ..PUBLIC
        })
        .collect();
    table.extend([
        Expectation {
            operation: "post /api/auth/register",
            body: |world| json!({"username": format!("{}_{}", world.name, uuid::Uuid::new_v4().simple()), "password": PASSWORD, "passwordConfirm": PASSWORD}),
            ada: 201,
            stranger: 201,
            nobody: 201,
            ..PUBLIC
        },
        Expectation {
            operation: "post /api/auth/login",
            body: |world| json!({"username": world.name, "password": PASSWORD}),
            ..PUBLIC
        },
        Expectation {
            operation: "post /api/auth/refresh",
            body: |world| json!({"refreshToken": world.refresh_token}),
            ..PUBLIC
        },
        Expectation { operation: "post /api/auth/logout", ada: 204, stranger: 204, ..PRIVATE },
        Expectation { operation: "get /api/auth/sessions", ..PRIVATE },
        Expectation { operation: "delete /api/auth/sessions", ada: 204, stranger: 204, ..PRIVATE },
        Expectation {
            operation: "delete /api/auth/sessions/{id}",
            id: |world| &world.session,
            ada: 204,
            stranger: 404,
            ..PRIVATE
        },
        Expectation { operation: "get /api/users/me", ..PRIVATE },
        Expectation { operation: "put /api/users/me", body: |_| json!({}), ..PRIVATE },
        Expectation { operation: "patch /api/users/me/avatar", ..PRIVATE },
        Expectation { operation: "post /api/attachments/upload", ada: 201, stranger: 201, ..PRIVATE },
        Expectation { operation: "get /api/attachments/{id}", id: |world| &world.image, stranger: 404, ..PRIVATE },
        Expectation { operation: "delete /api/attachments/{id}", id: |world| &world.image, ada: 204, stranger: 404, ..PRIVATE },
        // An address that cannot be guessed is all it takes; this one leads nowhere.
        Expectation { operation: "get /media/{key}", ada: 404, stranger: 404, nobody: 404, ..PUBLIC },
        Expectation { operation: "get /api/users/search", ..PRIVATE },
        Expectation { operation: "get /api/users/{id}", id: |world| &world.ada, stranger: 403, ..PRIVATE },
        Expectation { operation: "get /api/contacts", ..PRIVATE },
        Expectation { operation: "get /api/contacts/pending", ..PRIVATE },
        // Whoever asks for herself is told so; a stranger may ask her.
        Expectation {
            operation: "post /api/contacts",
            body: |world| json!({"userId": world.ada}),
            ada: 400,
            stranger: 201,
            ..PRIVATE
        },
        Expectation {
            operation: "post /api/contacts/request",
            body: |world| json!({"contactId": world.ada}),
            ada: 400,
            stranger: 201,
            ..PRIVATE
        },
        Expectation { operation: "post /api/contacts/{id}/accept", id: |world| &world.incoming, stranger: 404, ..PRIVATE },
        Expectation { operation: "put /api/contacts/{id}/accept", id: |world| &world.incoming, stranger: 404, ..PRIVATE },
        Expectation { operation: "post /api/contacts/{id}/reject", id: |world| &world.request, stranger: 404, ..PRIVATE },
        Expectation { operation: "put /api/contacts/{id}/reject", id: |world| &world.incoming, stranger: 404, ..PRIVATE },
        Expectation { operation: "delete /api/contacts/{id}", id: |world| &world.direct, ada: 204, stranger: 404, ..PRIVATE },
        // Anybody may be blocked by anybody.
        Expectation { operation: "post /api/contacts/{id}/block", id: |world| &world.other, ..PRIVATE },
        Expectation { operation: "delete /api/contacts/{id}/block", id: |world| &world.other, ..PRIVATE },
        Expectation { operation: "get /api/chats", ..PRIVATE },
        Expectation { operation: "get /api/chats/{id}", id: |world| &world.chat, stranger: 404, ..PRIVATE },
        Expectation {
            operation: "put /api/chats/{id}",
            body: |_| json!({"name": "Ada's own"}),
            id: |world| &world.chat,
            stranger: 404,
            ..PRIVATE
        },
        Expectation { operation: "delete /api/chats/{id}", id: |world| &world.chat, ada: 204, stranger: 404, ..PRIVATE },
        Expectation {
            operation: "post /api/chats/{id}/participants",
            body: |world| json!({"userId": world.direct}),
            id: |world| &world.chat,
            ada: 201,
            stranger: 404,
            ..PRIVATE
        },
        Expectation {
            operation: "delete /api/chats/{id}/participants/{userId}",
            id: |world| &world.chat,
            stranger: 404,
            ..PRIVATE
        },
        Expectation { operation: "patch /api/chats/{id}/avatar", id: |world| &world.chat, stranger: 404, ..PRIVATE },
        Expectation { operation: "post /api/chats/{id}/leave", id: |world| &world.chat, ada: 204, stranger: 404, ..PRIVATE },
        Expectation { operation: "get /api/chats/slug/{slug}", id: |world| &world.slug, stranger: 404, ..PRIVATE },
        Expectation {
            operation: "post /api/chats/direct",
            body: |world| json!({"contactId": world.ada}),
            ada: 400,
            stranger: 403,
            ..PRIVATE
        },
        Expectation {
            operation: "post /api/chats/group",
            body: |world| json!({"name": "Theirs", "participantIds": [world.other]}),
            ada: 201,
            stranger: 201,
            ..PRIVATE
        },
        Expectation { operation: "get /api/messages/search", ..PRIVATE },
        Expectation { operation: "get /api/chats/{id}/messages", id: |world| &world.chat, stranger: 404, ..PRIVATE },
        Expectation {
            operation: "post /api/chats/{id}/messages",
            body: |_| json!({"content": "Hello"}),
            id: |world| &world.chat,
            ada: 201,
            stranger: 404,
            ..PRIVATE
        },
        // The old paths: the id is that of a chat.
        Expectation { operation: "get /api/messages/{id}", id: |world| &world.chat, stranger: 404, ..PRIVATE },
        Expectation {
            operation: "post /api/messages/{id}",
            body: |_| json!({"content": "Hello"}),
            id: |world| &world.chat,
            ada: 201,
            stranger: 404,
            ..PRIVATE
        },
        Expectation {
            operation: "put /api/messages/{id}",
            body: |_| json!({"content": "Goodbye"}),
            id: |world| &world.message,
            stranger: 404,
            ..PRIVATE
        },
        Expectation { operation: "delete /api/messages/{id}", id: |world| &world.message, ada: 204, stranger: 404, ..PRIVATE },
        Expectation {
            operation: "post /api/messages/{id}/reactions",
            body: |_| json!({"emoji": "🎉"}),
            id: |world| &world.message,
            ada: 201,
            stranger: 404,
            ..PRIVATE
        },
        Expectation {
            operation: "delete /api/messages/{id}/reactions/{reaction}",
            id: |world| &world.message,
            ada: 204,
            stranger: 404,
            ..PRIVATE
        },
        Expectation { operation: "delete /api/messages/reactions/{reaction}", ada: 204, stranger: 404, ..PRIVATE },
        Expectation { operation: "post /api/messages/{id}/read", id: |world| &world.message, ada: 204, stranger: 404, ..PRIVATE },
        Expectation { operation: "post /api/chats/{id}/read", id: |world| &world.chat, ada: 204, stranger: 404, ..PRIVATE },
    ]);
    table
}

#[test]
fn every_operation_is_in_the_table() {
    let document: Value = serde_json::from_str(&docs::rest()).unwrap();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        documented.extend(
            item.as_object()
                .unwrap()
                .keys()
                .map(|method| format!("{method} {path}")),
        );
    }
    let expected: BTreeSet<_> = table().iter().map(|row| row.operation.to_owned()).collect();
    assert_eq!(
        documented, expected,
        "left: the routes; right: the table in this file"
    );
}

#[tokio::test]
async fn everybody_gets_what_is_theirs() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = gateway::config::Switch::Off).await;
    let late = cluster.rest(0).register("late").await.unwrap();
    cluster.clock.advance(Duration::from_secs(15 * 60));
    for (number, row) in table().into_iter().enumerate() {
        // Somebody new for each row: some operations end the session that asks.
        let name = format!("ada_{number}");
        let (door, other_door) = (cluster.rest(number % 2), cluster.rest((number + 1) % 2));
        door.register(&name).await.unwrap();
        let ada = door.log_in(&name, PASSWORD).await.unwrap();
        let stranger = other_door.register(&format!("stranger_{number}")).await.unwrap();
        let session = ada.rest.get("/api/auth/sessions").await.unwrap();
        let session = session.body["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|session| session["current"] == true)
            .unwrap();
        let session = session["id"].as_str().unwrap().to_owned();
        let bob = door.register(&format!("bob_{number}")).await.unwrap();
        let carl = door.register(&format!("carl_{number}")).await.unwrap();
        let ask = async |from: &LoggedIn, to: &LoggedIn| {
            let answer = from
                .rest
                .post("/api/contacts/request", json!({"contactId": to.id}))
                .await
                .unwrap();
            answer.expect(201).unwrap().str("id").unwrap().to_owned()
        };
        let (request, incoming) = (ask(&ada, &bob).await, ask(&carl, &ada).await);
        let dora = door.register(&format!("dora_{number}")).await.unwrap();
        let direct = befriend(&ada, &dora).await;
        let group = json!({"name": "Ada's", "participantIds": [bob.id]});
        let group = ada
            .rest
            .post("/api/chats/group", group)
            .await
            .unwrap()
            .expect(201)
            .unwrap();
        let message = format!("/api/chats/{}/messages", group.str("id").unwrap());
        let message = ada
            .rest
            .post(&message, json!({"content": "Hello"}))
            .await
            .unwrap();
        let reaction = format!("/api/messages/{}/reactions", message.str("id").unwrap());
        let reaction = ada.rest.post(&reaction, json!({"emoji": "👍"})).await.unwrap();
        let image = ada
            .rest
            .upload(
                Method::POST,
                "/api/attachments/upload",
                "image",
                "a.gif",
                "image/gif",
                GIF,
            )
            .await
            .unwrap()
            .expect(201)
            .unwrap();
        let world = World {
            ada: ada.id.clone(),
            session,
            other: bob.id,
            request,
            incoming,
            direct,
            chat: group.str("id").unwrap().to_owned(),
            slug: group.str("slug").unwrap().to_owned(),
            message: message.str("id").unwrap().to_owned(),
            reaction: reaction.str("id").unwrap().to_owned(),
            image: image.str("id").unwrap().to_owned(),
            name,
            refresh_token: ada.refresh_token.clone(),
        };

        let (method, path) = row.operation.split_once(' ').unwrap();
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let mut path = path
            .replace("{id}", (row.id)(&world))
            .replace("{userId}", &world.other)
            .replace("{slug}", (row.id)(&world))
            .replace("{reaction}", &world.reaction);
        if path.ends_with("/search") {
            path += "?q=a";
        }
        let call = async |door: &Rest| {
            if path.ends_with("/avatar") || path.ends_with("/upload") {
                let field = if path.ends_with("/upload") {
                    "file"
                } else {
                    "avatar"
                };
                return door
                    .upload(method.clone(), &path, field, "a.gif", "image/gif", GIF)
                    .await
                    .unwrap()
                    .status;
            }
            let body = Some((row.body)(&world)).filter(|body| !body.is_null());
            door.ask(method.clone(), &path, body).await.unwrap().status
        };
        let who = |name: &str| format!("{} as {name}", row.operation);

        let nonsense = ["Bearer", "Bearer ", "Bearer x.y.z", "Basic YTpi", "x"];
        assert_eq!(call(&other_door).await, row.nobody, "{}", who("nobody"));
        for header in nonsense {
            let door = door.with_header("authorization", header);
            assert_eq!(call(&door).await, row.nobody, "{}", who(header));
        }
        let revoked = door.log_in(&world.name, PASSWORD).await.unwrap();
        revoked
            .rest
            .post("/api/auth/logout", None)
            .await
            .unwrap()
            .expect(204)
            .unwrap();
        assert_eq!(
            call(&revoked.rest).await,
            row.nobody,
            "{}",
            who("a revoked session")
        );

        assert_eq!(
            call(&door.with_token(&late.access_token)).await,
            row.nobody,
            "{}",
            who("an expired token")
        );
        assert_eq!(call(&stranger.rest).await, row.stranger, "{}", who("a stranger"));
        assert_eq!(call(&ada.rest).await, row.ada, "{}", who("herself"));
    }
}
