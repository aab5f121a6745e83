//! New messages, many at once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use shared::{
    ChatId, MessageId, UserId,
    chat::ChatType,
    contact::Person,
    event::Event,
    message::{ContentType, Quote},
};

use super::DELETED_QUOTE;
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Settings, chats, messages::send::Draft},
};

/// What there is to know about who wants to send something where. Asked before the chat is locked, so that nobody waits for it.
pub(in crate::features::messages) struct Sender {
    pub person: Person,
    /// Where they are in the chat, if they are or were there.
    pub place: Option<chats::Place>,
    /// How many others are there.
    pub recipients: i64,
    /// They used the key of this draft before.
    pub key_is_taken: bool,
}

impl Sender {
    /// The other one, in a direct chat.
    pub fn partner(&self) -> Option<UserId> {
        let place = self.place.filter(|place| place.kind == ChatType::Direct)?;
        place.partner
    }
}

/// The sender of each draft.
pub(in crate::features::messages) async fn senders(
    tx: &mut Tx,
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
               select chat_id, count(*) as members from participants
               where chat_id = any($1) and left_at is null
               group by chat_id
           )
           select u.id, u.username as "username: String", u.display_name, u.avatar_key,
                  c.type as "kind?: ChatType", c.first_id as "first_id?", c.second_id as "second_id?",
                  coalesce(p.left_at is null and c.deleted_at is null, false) as "is_member!",
                  coalesce(crowds.members, 0) as "members!",
                  exists (select from messages m where m.sender_id = u.id and m.client_key = wanted.key) as "key_is_taken!"
           from wanted
           join users u on u.id = wanted.user_id
           left join participants p on p.chat_id = wanted.chat_id and p.user_id = wanted.user_id
           left join chats c on c.id = p.chat_id
           left join crowds on crowds.chat_id = wanted.chat_id
           order by wanted.number"#,
        &chats,
        &users,
        &keys as &[Option<&str>],
    )
    .fetch_all(tx.conn())
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

/// Keep new messages. Says no if one of them cannot be kept, because its sender used its key meanwhile, or is not in the chat any
/// more: the right to send is looked at behind the chat's lock, by the statement that uses it. Then the transaction must be undone.
///
/// Keys are taken in their order, whatever that of the messages, so that two who use the same ones never wait for each other.
pub(in crate::features::messages) async fn insert<'a>(
    tx: &mut Tx,
    messages: impl Iterator<Item = (&'a Draft, &'a Event)>,
) -> Result<bool> {
    let (mut ids, mut chats, mut seqs, mut senders) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut keys, mut contents, mut types, mut metadata) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut originals, mut times, mut search_texts) = (Vec::new(), Vec::new(), Vec::new());
    for (draft, event) in messages {
        let Event::MessageSent(message) = event else {
            continue;
        };
        ids.push(message.id.0);
        chats.push(message.chat_id.0);
        seqs.push(message.seq);
        senders.push(draft.sender.0);
        keys.push(draft.key.as_deref());
        contents.push(message.content.as_str());
        types.push(message.content_type);
        metadata.push(message.metadata.get());
        originals.push(message.reply_to_id.map(|id| id.0));
        times.push(message.created_at);
        search_texts.push(draft.search_text.as_str());
    }
    let kept = sqlx::query_scalar!(
        r#"with added as (
             insert into messages
               (id, chat_id, seq, sender_id, client_key, content, content_type, metadata, reply_to_id, created_at, search_text)
             select new.id, new.chat_id, new.seq, new.sender_id, new.client_key, new.content, new.content_type, new.metadata::json,
                    new.reply_to_id, new.created_at, new.search_text
             from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::uuid[],
                         $9::timestamptz[], $10::text[], $11::text[])
                  as new (id, chat_id, seq, sender_id, client_key, content, metadata, reply_to_id, created_at, search_text,
                          content_type)
             join participants p on p.chat_id = new.chat_id and p.user_id = new.sender_id and p.left_at is null
             join chats c on c.id = new.chat_id and c.deleted_at is null
             order by new.sender_id, new.client_key
             on conflict on constraint messages_client_key do nothing
             returning chat_id, created_at
           ), newest as (
             select chat_id, max(created_at) as at from added group by chat_id
           ), noted as (
             update chats set last_message_at = newest.at from newest where chats.id = newest.chat_id
           )
           select count(*) as "kept!" from added"#,
        &ids,
        &chats,
        &seqs,
        &senders,
        &keys as &[Option<&str>],
        &contents as &[&str],
        &metadata as &[&str],
        &originals as &[Option<uuid::Uuid>],
        &times,
        &search_texts as &[&str],
        &types as &[ContentType],
    );
    Ok(usize::try_from(kept.fetch_one(tx.conn()).await?) == Ok(ids.len()))
}

/// The keys under which these messages were sent, of those that have one.
pub(in crate::features::messages) async fn keys_of(
    tx: &mut Tx,
    messages: &[MessageId],
) -> Result<HashMap<MessageId, String>> {
    if messages.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<uuid::Uuid> = messages.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select id, client_key as "key!" from messages where id = any($1) and client_key is not null"#,
        &ids
    );
    let rows = rows.fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.key)).collect())
}
