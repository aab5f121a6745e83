use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use shared::{
    ChatId, MessageId, UserId,
    contact::Person,
    message::{ContentType, DeliveryStatus, Message, Quote, Reaction, ReadCount, SendMessage},
    text::ClientKey,
};
use uuid::Uuid;

use crate::{
    db::{Place, Tx},
    error::{Error, Result},
    features::{Settings, accounts},
};

/// The new message, unless its sender used the key before.
pub(super) async fn insert(
    tx: &mut Tx,
    sender: UserId,
    chat: ChatId,
    place: Place,
    ask: &SendMessage,
    content: &str,
    search_text: &str,
) -> Result<Option<MessageId>> {
    let id = sqlx::query_scalar!(
        "insert into messages (id, chat_id, seq, sender_id, client_key, content, content_type, metadata, reply_to_id, created_at,
                               search_text)
         values ($1, $2, $3, $4, $5, $6, 'text', $7::text::json, $8, $9, $10)
         on conflict on constraint messages_client_key do nothing
         returning id",
        MessageId::new().0,
        chat.0,
        place.seq,
        sender.0,
        ask.client_message_id.as_deref(),
        content,
        ask.metadata.json(),
        ask.reply_to_id.map(|id| id.0),
        place.at,
        search_text,
    );
    Ok(id.fetch_optional(tx.conn()).await?)
}

pub(super) async fn by_client_key(
    tx: &mut Tx,
    sender: UserId,
    key: &ClientKey,
) -> Result<Option<(MessageId, ChatId)>> {
    let found = sqlx::query!(
        "select id, chat_id from messages where sender_id = $1 and client_key = $2",
        sender.0,
        &**key
    );
    Ok(found
        .fetch_optional(tx.conn())
        .await?
        .map(|row| (row.id, row.chat_id)))
}

pub(super) async fn is_in(tx: &mut Tx, message: MessageId, chat: ChatId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from messages where id = $1 and chat_id = $2) as "found!""#,
        message.0,
        chat.0
    );
    Ok(found.fetch_one(tx.conn()).await?)
}

/// The newest messages before a moment, the newest first.
pub(super) async fn page(
    tx: &mut Tx,
    chat: ChatId,
    before: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<MessageId>> {
    let ids = sqlx::query_scalar!(
        "select id from messages where chat_id = $1 and ($2::timestamptz is null or created_at < $2)
         order by created_at desc limit $3",
        chat.0,
        before,
        limit,
    );
    Ok(ids.fetch_all(tx.conn()).await?)
}

pub(super) async fn message(tx: &mut Tx, settings: &Settings, id: MessageId) -> Result<Message> {
    messages(tx, settings, &[id])
        .await?
        .pop()
        .ok_or_else(|| Error::internal("a message that vanished"))
}

/// These messages, in the order of the ids.
pub async fn messages(tx: &mut Tx, settings: &Settings, ids: &[MessageId]) -> Result<Vec<Message>> {
    let uuids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select m.id, m.chat_id, m.seq, m.sender_id as "sender_id?", m.content, m.content_type as "content_type: ContentType",
                  m.metadata::text as "metadata!", m.edited_at, m.deleted_at, m.created_at,
                  m.reply_to_id as "reply_to_id?", q.sender_id as "quoted_sender_id?", q.content as "quoted_content?",
                  q.content_type as "quoted_type?: ContentType", q.created_at as "quoted_at?",
                  q.deleted_at as "quoted_deleted_at?",
                  progress.recipients as "recipients!", progress.delivered as "delivered!", progress.read as "read!"
           from unnest($1::uuid[]) with ordinality as wanted (id, position)
           join messages m on m.id = wanted.id
           left join messages q on q.id = m.reply_to_id
           cross join lateral (
               select count(*) as recipients,
                      count(*) filter (where p.delivered_seq >= m.seq) as delivered,
                      count(*) filter (where p.read_seq >= m.seq) as read
               from participants p
               where p.chat_id = m.chat_id and p.left_at is null and p.user_id is distinct from m.sender_id
           ) progress
           order by wanted.position"#,
        &uuids,
    )
    .fetch_all(tx.conn())
    .await?;
    let reacted = sqlx::query!(
        "select id, message_id, user_id, emoji, created_at from reactions
         where message_id = any($1) order by created_at, id",
        &uuids,
    )
    .fetch_all(tx.conn())
    .await?;
    let involved: Vec<UserId> = rows
        .iter()
        .flat_map(|row| [row.sender_id, row.quoted_sender_id])
        .flatten()
        .chain(reacted.iter().map(|reaction| reaction.user_id))
        .collect();
    let people = accounts::people(tx, settings, &involved).await?;
    let person = |id: Option<UserId>| id.and_then(|id| people.get(&id)).map(Person::from);
    let mut reactions: HashMap<MessageId, Vec<Reaction>> = HashMap::new();
    for reaction in reacted {
        reactions.entry(reaction.message_id).or_default().push(Reaction {
            id: reaction.id,
            message_id: reaction.message_id,
            user_id: reaction.user_id,
            emoji: reaction.emoji,
            created_at: reaction.created_at,
            user: person(Some(reaction.user_id)),
        });
    }
    let messages = rows.into_iter().map(|row| {
        let quote = match (
            row.reply_to_id,
            row.quoted_content,
            row.quoted_type,
            row.quoted_at,
        ) {
            (Some(id), Some(content), Some(content_type), Some(created_at)) => Some(Quote {
                id,
                sender_id: row.quoted_sender_id,
                sender: person(row.quoted_sender_id),
                content: if row.quoted_deleted_at.is_some() {
                    "[Message Deleted]".to_owned()
                } else {
                    content
                },
                content_type,
                created_at,
            }),
            _ => None,
        };
        Ok(Message {
            id: row.id,
            chat_id: row.chat_id,
            sender_id: row.sender_id,
            sender: person(row.sender_id),
            content: row.content,
            content_type: row.content_type,
            metadata: RawValue::from_string(row.metadata).map_err(Error::internal)?,
            reply_to_id: row.reply_to_id,
            reply_to: quote,
            is_edited: row.edited_at.is_some(),
            edited_at: row.edited_at,
            is_deleted: row.deleted_at.is_some(),
            deleted_at: row.deleted_at,
            created_at: row.created_at,
            seq: row.seq,
            reactions: reactions.remove(&row.id).unwrap_or_default(),
            delivery_status: match (row.read, row.delivered) {
                (1.., _) => DeliveryStatus::Read,
                (_, 1..) => DeliveryStatus::Delivered,
                _ => DeliveryStatus::Sent,
            },
            read_count: ReadCount {
                total: row.recipients,
                read: row.read,
            },
            attachments: [],
        })
    });
    messages.collect()
}
