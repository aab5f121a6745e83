//! New messages, many at once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use shared::{
    ChatId, MessageId, UserId,
    chat::ChatType,
    contact::Person,
    message::{ContentType, Message, Quote},
    topic::Seq,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::DELETED_QUOTE;
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Settings, chats, messages::send::Draft},
};

/// How `keep_messages` says that what was looked at before is not so behind the locks.
const NOT_TRUE_ANY_MORE: &str = "MG001";

/// What there is to know about who wants to send something where. Asked before the chat is locked, so that nobody waits for it.
pub(in crate::features::messages) struct Sender {
    pub person: Person,
    /// Where they are in the chat, if they are or were there.
    pub place: Option<chats::Place>,
    /// How many others are there.
    pub recipients: i64,
    /// They used the key of this draft before.
    pub key_is_taken: bool,
    /// In a direct chat: the two are contacts.
    pub are_contacts: bool,
    /// In a direct chat: one of them has blocked the other.
    pub are_blocked: bool,
}

impl Sender {
    /// The other one, in a direct chat.
    pub fn partner(&self) -> Option<UserId> {
        let place = self.place.filter(|place| place.kind == ChatType::Direct)?;
        place.partner
    }
}

/// The sender of each draft.
///
/// `offset 0` keeps PostgreSQL from looking through whole tables instead of looking up each row: it plans this once for a connection,
/// for any number of rows, and perhaps when the tables were still empty.
pub(in crate::features::messages) async fn senders(
    conn: &mut PgConnection,
    settings: &Settings,
    drafts: &[Arc<Draft>],
) -> Result<Vec<Sender>> {
    let (mut chats, mut users, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for draft in drafts {
        chats.push(draft.chat.0);
        users.push(draft.sender.0);
        keys.push(draft.key.as_deref());
    }
    let rows = sqlx::query!(
        r#"with wanted as (
               select * from unnest($1::uuid[], $2::uuid[], $3::text[]) with ordinality as wanted (chat_id, user_id, key, number)
           ), crowds as (
               select id as chat_id, (
                   select count(*) from participants p where p.chat_id = chat.id and p.left_at is null offset 0
               ) as members
               from (select distinct chat_id from wanted) as chat (id)
           )
           select u.id as "id!: UserId", u.username as "username!: String", u.display_name as "display_name!", u.avatar_key,
                  c.type as "kind?: ChatType", c.first_id as "first_id?: UserId", c.second_id as "second_id?: UserId",
                  coalesce(p.left_at is null and c.deleted_at is null, false) as "is_member!",
                  crowds.members as "members!",
                  wanted.key is not null and exists (
                      select from messages m where m.sender_id = wanted.user_id and m.client_key = wanted.key offset 0
                  ) as "key_is_taken!",
                  coalesce(c.type = 'direct', false) and exists (
                      select from contacts k
                      where k.first_id = c.first_id and k.second_id = c.second_id and k.status = 'accepted' offset 0
                  ) as "are_contacts!",
                  coalesce(c.type = 'direct', false) and exists (
                      select from blocks b where b.blocker_id = c.first_id and b.blocked_id = c.second_id
                          or b.blocker_id = c.second_id and b.blocked_id = c.first_id offset 0
                  ) as "are_blocked!"
           from wanted
           join crowds on crowds.chat_id = wanted.chat_id
           join lateral (select * from users where users.id = wanted.user_id offset 0) u on true
           left join lateral (
               select * from participants where participants.chat_id = wanted.chat_id and participants.user_id = wanted.user_id offset 0
           ) p on true
           left join lateral (select * from chats where chats.id = p.chat_id offset 0) c on true
           order by wanted.number"#,
        &chats,
        &users,
        &keys as &[Option<&str>],
    )
    .fetch_all(conn)
    .await?;
    if rows.len() != drafts.len() {
        return Err(Error::internal("somebody who does not exist sends something"));
    }
    let senders = rows.into_iter().map(|row| Sender {
        person: Person {
            id: row.id,
            username: row.username,
            display_name: Some(row.display_name),
            avatar_url: row.avatar_key.map(|key| settings.image_url(&key)),
        },
        place: row.kind.map(|kind| chats::Place {
            kind,
            partner: [row.first_id, row.second_id]
                .into_iter()
                .flatten()
                .find(|id| *id != row.id),
            is_member: row.is_member,
        }),
        recipients: row.members - 1,
        key_is_taken: row.key_is_taken,
        are_contacts: row.are_contacts,
        are_blocked: row.are_blocked,
    });
    Ok(senders.collect())
}

/// Those of these messages that are in these chats, as they are quoted. They are neither edited nor deleted until the end of the
/// transaction, so that deleting one finds every copy of its text.
pub(in crate::features::messages) async fn hold_originals(
    tx: &mut Tx,
    settings: &Settings,
    originals: &BTreeSet<(MessageId, ChatId)>,
) -> Result<HashMap<(MessageId, ChatId), Quote>> {
    let (ids, chats): (Vec<_>, Vec<_>) = originals.iter().map(|(id, chat)| (id.0, chat.0)).unzip();
    let rows = sqlx::query!(
        r#"select m.id, m.chat_id, m.sender_id as "sender_id?", m.content, m.content_type as "content_type: ContentType",
                  m.created_at, m.deleted_at is not null as "is_deleted!",
                  u.username as "username?: String", u.display_name as "display_name?", u.avatar_key
           from messages m
           join unnest($1::uuid[], $2::uuid[]) as wanted (id, chat_id) on wanted.id = m.id and wanted.chat_id = m.chat_id
           left join users u on u.id = m.sender_id
           order by m.id
           for share of m"#,
        &ids,
        &chats,
    )
    .fetch_all(tx.conn())
    .await?;
    let quotes = rows.into_iter().map(|row| {
        let sender = row.sender_id.zip(row.username);
        let quote = Quote {
            id: row.id,
            sender_id: row.sender_id,
            sender: sender.map(|(id, username)| Person {
                id,
                username,
                display_name: row.display_name,
                avatar_url: row.avatar_key.map(|key| settings.image_url(&key)),
            }),
            content: if row.is_deleted {
                DELETED_QUOTE.to_owned()
            } else {
                row.content
            },
            content_type: row.content_type,
            created_at: row.created_at,
        };
        ((row.id, row.chat_id), quote)
    });
    Ok(quotes.collect())
}

/// A message that is to be kept.
pub(in crate::features::messages) struct New<'a> {
    /// Which draft it was.
    pub number: usize,
    pub draft: &'a Draft,
    /// The other one, in a direct chat.
    pub partner: Option<UserId>,
    /// Its place is not known yet.
    pub message: Message,
    /// What the log says of it, up to its place.
    pub open_json: String,
}

/// Keep new messages and what the log says of them, and say at which places. Nothing, if one of them cannot be kept because its
/// sender used its key meanwhile, or may not write there any more: the right to send is looked at behind the locks (see
/// `keep_messages` among the migrations). Then nothing has been written, and a transaction must be undone.
pub(in crate::features::messages) async fn keep(
    conn: &mut PgConnection,
    new: &[New<'_>],
    now: DateTime<Utc>,
) -> Result<Option<Vec<(Seq, DateTime<Utc>)>>> {
    let (mut ids, mut chats, mut senders, mut partners) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut keys, mut contents, mut types, mut metadata) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut originals, mut search_texts, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    for entry in new {
        let (draft, message) = (entry.draft, &entry.message);
        ids.push(message.id.0);
        chats.push(draft.chat.0);
        senders.push(draft.sender.0);
        partners.push(entry.partner.map(|partner| partner.0));
        keys.push(draft.key.as_deref());
        contents.push(message.content.as_str());
        types.push(message.content_type);
        metadata.push(message.metadata.get());
        originals.push(message.reply_to_id.map(|id| id.0));
        search_texts.push(draft.search_text.as_str());
        bodies.push(entry.open_json.as_str());
    }
    let kept = sqlx::query!(
        r#"select seq as "seq!", at as "at!" from keep_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"#,
        &ids,
        &chats,
        &senders,
        &partners as &[Option<Uuid>],
        &keys as &[Option<&str>],
        &contents as &[&str],
        &types as &[ContentType],
        &metadata as &[&str],
        &originals as &[Option<Uuid>],
        &search_texts as &[&str],
        &bodies as &[&str],
        now,
    );
    match kept.fetch_all(conn).await {
        Ok(places) if places.len() == new.len() => Ok(Some(
            places.into_iter().map(|place| (place.seq, place.at)).collect(),
        )),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NOT_TRUE_ANY_MORE) => Ok(None),
        Err(error @ sqlx::Error::Database(_)) => Err(error.into()),
        // Written or not: nobody knows.
        Ok(_) => Err(Error::unavailable("a message without a place")),
        Err(error) => Err(Error::unavailable(error)),
    }
}

/// The keys under which these messages were sent, of those that have one.
pub(in crate::features::messages) async fn keys_of(
    tx: &mut Tx,
    messages: &[MessageId],
) -> Result<HashMap<MessageId, String>> {
    if messages.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = messages.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select id, client_key as "key!" from messages where id = any($1) and client_key is not null"#,
        &ids
    );
    let rows = rows.fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.key)).collect())
}
