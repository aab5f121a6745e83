//! Alice, Bob and their chats: one set of example values for documents and tests.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    AttachmentId, ChatId, ContactId, MessageId, ParticipantId, ReactionId, SessionId,
    account::{LoggedIn, Status, User},
    chat::{Chat, ChatChanged, ChatGone, ChatType, MemberJoined, MemberLeft, Participant, Role},
    contact::{Contact, ContactEnded, ContactRequest, RequestStatus},
    event::{AnswerFlushed, Event, Kind, LineBroke, ProfileUpdated, SessionGone},
    media::Attachment,
    message::{
        ContentType, DeliveryStatus, Message, MessageDeleted, MessageEdited, Reaction, ReactionChanged,
        ReadCount,
    },
    presence::{StatusChanged, Typing},
    receipt::{ChatRead, MessageDelivered, MessageRead},
    session::LoginSession,
    text::Username,
};

/// The moment at which all examples happen.
pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_262_400, 123_456_000).unwrap_or_default()
}

/// An id of the form that all have, with an end of its own.
fn id<T: From<Uuid>>(end: u64) -> T {
    Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0000 | u128::from(end)).into()
}

pub const ACCESS_TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl";
pub const REFRESH_TOKEN: &str = "m7mJ0Z0Zf3rM4w3Cj0xg8w0WmBqYQ0hZ5Zt5nYwqU1c";

pub fn alice() -> User {
    person(0xa11c, "alice", "Alice")
}

pub fn bob() -> User {
    person(0x00b0, "bob", "Bob")
}

fn person(end: u64, username: &str, display_name: &str) -> User {
    User {
        id: id(end),
        username: Username::try_from(username.to_owned()).expect("sample names are valid"),
        display_name: Some(display_name.to_owned()),
        avatar_url: None,
        status: Status::Online,
        chosen_status: None,
        last_seen: Some(noon()),
        created_at: noon(),
        updated_at: noon(),
    }
}

pub fn logged_in() -> LoggedIn {
    LoggedIn {
        access_token: ACCESS_TOKEN.to_owned(),
        refresh_token: REFRESH_TOKEN.to_owned(),
        expires_in: 900,
        user: alice(),
    }
}

pub fn login_session() -> LoginSession {
    LoginSession {
        id: id(0x5e55),
        current: true,
        device_name: Some("Alice's phone".to_owned()),
        ip_address: Some("203.0.113.7".to_owned()),
        user_agent: Some("Mozilla/5.0".to_owned()),
        created_at: noon(),
        last_activity: noon(),
        expires_at: noon() + chrono::TimeDelta::days(7),
    }
}

/// Alice's request to Bob, as he sees it.
pub fn request() -> ContactRequest {
    let (alice, bob) = (alice(), bob());
    ContactRequest {
        id: id::<ContactId>(0xc0ac),
        sender_id: alice.id,
        receiver_id: bob.id,
        sender: Some((&alice).into()),
        receiver: (&bob).into(),
        status: RequestStatus::Pending,
        created_at: noon(),
        requested_by: alice.id,
        user_id: bob.id,
        contact_id: alice.id,
        contact: alice,
    }
}

/// Alice, in Bob's list.
pub fn contact() -> Contact {
    let (alice, bob) = (alice(), bob());
    let chat = id::<ChatId>(0xd1ec);
    Contact {
        id: chat,
        username: alice.username.to_string(),
        display_name: alice.display_name.clone(),
        avatar_url: None,
        status: alice.status,
        last_seen: alice.last_seen,
        is_blocked: false,
        chat_id: chat,
        user_id: bob.id,
        contact_id: alice.id,
        relation_id: request().id,
        contact_status: RequestStatus::Accepted,
        requested_by: alice.id,
        created_at: noon(),
        accepted_at: Some(noon()),
        user: alice,
    }
}

/// A group of Alice's, with Bob in it.
pub fn group() -> Chat {
    Chat {
        id: group_id(),
        kind: ChatType::Group,
        name: Some("Tea party".to_owned()),
        slug: Some("tea-party-x7k2m9".to_owned()),
        avatar_url: None,
        owner_id: Some(alice().id),
        participants: vec![
            participant(0x9a01, alice(), Role::Owner),
            participant(0x9a02, bob(), Role::Member),
        ],
        participant_count: 2,
        unread_count: 0,
        last_message_at: Some(noon()),
        last_message: Some(message()),
        position: message().seq,
        created_at: noon(),
        updated_at: noon(),
    }
}

fn group_id() -> ChatId {
    id(0x7ea0)
}

fn participant(end: u64, user: User, role: Role) -> Participant {
    Participant {
        id: id::<ParticipantId>(end),
        user_id: user.id,
        role,
        joined_at: noon(),
        user: user.into(),
    }
}

/// What Alice says in the group.
pub fn message() -> Message {
    let alice = alice();
    Message {
        id: message_id(),
        chat_id: group_id(),
        sender_id: Some(alice.id),
        sender: Some((&alice).into()),
        content: "Hello <strong>Bob</strong>".to_owned(),
        content_type: ContentType::Text,
        metadata: RawValue::from_string(r#"{"clientMessageId":"01J9Z3-7"}"#.to_owned())
            .expect("this is JSON"),
        reply_to_id: None,
        reply_to: None,
        is_edited: false,
        edited_at: None,
        is_deleted: false,
        deleted_at: None,
        created_at: noon(),
        seq: 7,
        reactions: Vec::new(),
        delivery_status: DeliveryStatus::Sent,
        read_count: ReadCount { total: 1, read: 0 },
        attachments: Vec::new(),
    }
}

fn message_id() -> MessageId {
    id(0x3e55)
}

/// What Bob thinks of it.
pub fn reaction() -> Reaction {
    let bob = bob();
    Reaction {
        id: id::<ReactionId>(0x4eac),
        message_id: message_id(),
        user_id: bob.id,
        emoji: "👍".to_owned(),
        created_at: noon(),
        user: Some((&bob).into()),
    }
}

/// An image that Alice has uploaded.
pub fn attachment() -> Attachment {
    let url = |key: &str| format!("http://localhost:3000/media/{key}.jpg");
    let original = url("9hX2mQ7Lr0aVtY4nKc8wZApB3dEfGhJk");
    Attachment {
        id: id::<AttachmentId>(0xa77a),
        message_id: None,
        file_name: "holiday.jpg".to_owned(),
        file_type: "image/jpeg".to_owned(),
        file_size: 2_345_678,
        url: original.clone(),
        thumbnail_url: url("Qm4vXz7TnR1sWbY6uLc0aKpB3dEfGhJk"),
        medium_url: url("Zt8cJw5HsN2xVqM9rUy3oDpB3dEfGhJk"),
        original_url: original,
        width: 4_000,
        height: 3_000,
        created_at: noon(),
    }
}

/// One event of each kind.
pub fn event(kind: Kind) -> Event {
    let (alice, bob, chat_id, message_id) = (alice(), bob(), group_id(), message_id());
    let typing = || Typing {
        chat_id,
        user_id: bob.id,
        username: bob.username.to_string(),
        display_name: bob.display_name.clone(),
    };
    let reaction = || ReactionChanged {
        reaction: reaction(),
        reaction_id: reaction().id,
        chat_id,
    };
    let session_id: SessionId = login_session().id;
    match kind {
        Kind::AnswerFlushed => Event::AnswerFlushed(AnswerFlushed {
            chat_id,
            session_id,
            upto: 7,
        }),
        Kind::ChatDeleted => Event::ChatDeleted(ChatGone {
            id: chat_id,
            chat_id,
            deleted_by: Some(alice.id),
            timestamp: noon(),
        }),
        Kind::ChatRead => Event::ChatRead(ChatRead {
            chat_id,
            user_id: bob.id,
            upto: 7,
            unread_count: 0,
            read_at: noon(),
        }),
        Kind::ChatStarted => Event::ChatStarted(group()),
        Kind::ChatUpdated => Event::ChatUpdated(ChatChanged {
            id: chat_id,
            chat_id,
            name: group().name,
            slug: group().slug,
            avatar_url: None,
            owner_id: Some(alice.id),
            updated_by: alice.id,
            updated_at: noon(),
        }),
        Kind::ContactAccepted => Event::ContactAccepted(contact()),
        Kind::ContactEnded => Event::ContactEnded(ContactEnded {
            id: contact().chat_id,
            chat_id: contact().chat_id,
            relation_id: contact().relation_id,
            user_id: bob.id,
            contact_id: alice.id,
            timestamp: noon(),
        }),
        Kind::ContactRequested => Event::ContactRequested(request()),
        Kind::ContactRequestRejected => Event::ContactRequestRejected(ContactRequest {
            status: RequestStatus::Rejected,
            ..request()
        }),
        Kind::LineBroke => Event::LineBroke(LineBroke { since: noon() }),
        Kind::MemberJoined => Event::MemberJoined(MemberJoined {
            chat_id,
            user_id: bob.id,
            participant: participant(0x9a02, bob, Role::Member),
            added_by: alice.id,
            timestamp: noon(),
        }),
        Kind::MemberLeft => Event::MemberLeft(MemberLeft {
            chat_id,
            user_id: bob.id,
            removed_by: alice.id,
            new_owner_id: None,
            timestamp: noon(),
        }),
        Kind::MessageDeleted => Event::MessageDeleted(MessageDeleted {
            id: message_id,
            message_id,
            chat_id,
            content: "[Deleted]".to_owned(),
            is_deleted: true,
            deleted_at: noon(),
        }),
        Kind::MessageEdited => Event::MessageEdited(MessageEdited {
            id: message_id,
            message_id,
            chat_id,
            content: "Hello <strong>Robert</strong>".to_owned(),
            is_edited: true,
            edited_at: noon(),
        }),
        Kind::MessageSent => Event::MessageSent(message()),
        Kind::MessagesDelivered => Event::MessagesDelivered(vec![MessageDelivered {
            message_id,
            chat_id,
            delivered_to: bob.id,
            user_id: bob.id,
            status: DeliveryStatus::Delivered,
            delivered_at: noon(),
        }]),
        Kind::MessagesRead => Event::MessagesRead(vec![MessageRead {
            message_id,
            chat_id,
            read_by: bob.id,
            user_id: bob.id,
            read_at: noon(),
            read_count: ReadCount { total: 1, read: 1 },
        }]),
        Kind::ProfileUpdated => Event::ProfileUpdated(ProfileUpdated {
            user_id: bob.id,
            user: bob,
            timestamp: noon(),
        }),
        Kind::ReactionAdded => Event::ReactionAdded(reaction()),
        Kind::ReactionRemoved => Event::ReactionRemoved(reaction()),
        Kind::SessionEnded => Event::SessionEnded(SessionGone { session_id }),
        Kind::StatusChanged => Event::StatusChanged(StatusChanged {
            user_id: bob.id,
            status: Status::Online,
            last_seen: Some(noon()),
            timestamp: noon(),
        }),
        Kind::TypingStarted => Event::TypingStarted(typing()),
        Kind::TypingStopped => Event::TypingStopped(typing()),
    }
}
