mod new;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use shared::{
    ChatId, MessageId, ReactionId, UserId,
    contact::Person,
    message::{ContentType, DeliveryStatus, Message, Quote, Reaction, ReadCount},
    text::ClientKey,
    topic::Seq,
};
use uuid::Uuid;

pub(super) use self::new::{New, Sender, hold_originals, keep, keys_of, senders};
use super::{DELETED, DELETED_QUOTE};
use crate::{
    db::{Place, Tx},
    error::{Error, Result},
    features::{Settings, accounts, media},
};

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

pub(super) async fn chat_of(tx: &mut Tx, message: MessageId) -> Result<Option<ChatId>> {
    let chat = sqlx::query_scalar!("select chat_id from messages where id = $1", message.0);
    Ok(chat.fetch_optional(tx.conn()).await?)
}

/// What decides about what may still happen to a message.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub seq: Seq,
    pub sender: Option<UserId>,
    pub content: String,
    pub content_type: ContentType,
    pub is_deleted: bool,
}

/// The message. Nobody edits it, deletes it, quotes it or reacts to it until the end of the transaction.
pub(super) async fn hold(tx: &mut Tx, message: MessageId) -> Result<Held> {
    let held = sqlx::query_as!(
        Held,
        r#"select seq, sender_id as "sender?: UserId", content, content_type as "content_type: ContentType",
                  deleted_at is not null as "is_deleted!"
           from messages where id = $1 for update"#,
        message.0,
    );
    Ok(held.fetch_one(tx.conn()).await?)
}

/// The message. Nobody edits or deletes it until the end of the transaction.
pub(super) async fn hold_shared(tx: &mut Tx, message: MessageId) -> Result<Held> {
    let held = sqlx::query_as!(
        Held,
        r#"select seq, sender_id as "sender?: UserId", content, content_type as "content_type: ContentType",
                  deleted_at is not null as "is_deleted!"
           from messages where id = $1 for share"#,
        message.0,
    );
    Ok(held.fetch_one(tx.conn()).await?)
}

/// Let a message say something else; what it said is kept at the place of the edit.
pub(super) async fn edit(
    tx: &mut Tx,
    message: MessageId,
    place: Place,
    content: &str,
    search_text: &str,
) -> Result<()> {
    sqlx::query!(
        "with kept as (
             insert into message_edits (message_id, seq, content, edited_at)
             select id, $2, content, $3 from messages where id = $1
         )
         update messages set content = $4, edited_at = $3, search_text = $5 where id = $1",
        message.0,
        place.seq,
        place.at,
        content,
        search_text,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Let nothing remain of what a message said. The log knows it, too: at the places that come back, and where it was sent.
pub(super) async fn destroy(
    tx: &mut Tx,
    message: MessageId,
    at: DateTime<Utc>,
) -> Result<Vec<(Seq, DateTime<Utc>)>> {
    sqlx::query!(
        "with gone as (delete from reactions where message_id = $1)
         update messages set content = $2, content_type = 'text', metadata = '{}', deleted_at = $3 where id = $1",
        message.0,
        DELETED,
        at,
    )
    .execute(tx.conn())
    .await?;
    let edits = sqlx::query!(
        "delete from message_edits where message_id = $1 returning seq, edited_at",
        message.0
    );
    let edits = edits.fetch_all(tx.conn()).await?;
    Ok(edits.into_iter().map(|edit| (edit.seq, edit.edited_at)).collect())
}

/// Answers to a message that stand behind a place, in order.
pub(super) async fn replies(
    tx: &mut Tx,
    message: MessageId,
    after: Seq,
    limit: i64,
) -> Result<Vec<MessageId>> {
    let ids = sqlx::query_scalar!(
        "select id from messages where reply_to_id = $1 and seq > $2 order by seq limit $3",
        message.0,
        after,
        limit,
    );
    Ok(ids.fetch_all(tx.conn()).await?)
}

/// A reaction, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Reacted {
    pub id: ReactionId,
    pub message_id: MessageId,
    pub user_id: UserId,
    pub emoji: String,
    pub created_at: DateTime<Utc>,
}

pub(super) async fn reaction(tx: &mut Tx, id: ReactionId) -> Result<Option<Reacted>> {
    let found = sqlx::query_as!(
        Reacted,
        "select id, message_id, user_id, emoji, created_at from reactions where id = $1",
        id.0
    );
    Ok(found.fetch_optional(tx.conn()).await?)
}

/// What one person put on a message.
pub(super) async fn reactions_of(tx: &mut Tx, message: MessageId, user: UserId) -> Result<Vec<Reacted>> {
    let found = sqlx::query_as!(
        Reacted,
        "select id, message_id, user_id, emoji, created_at from reactions where message_id = $1 and user_id = $2
         order by created_at, id",
        message.0,
        user.0,
    );
    Ok(found.fetch_all(tx.conn()).await?)
}

pub(super) async fn add_reaction(tx: &mut Tx, new: &Reacted) -> Result<()> {
    sqlx::query!(
        "insert into reactions (id, message_id, user_id, emoji, created_at) values ($1, $2, $3, $4, $5)",
        new.id.0,
        new.message_id.0,
        new.user_id.0,
        new.emoji,
        new.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether it was still there.
pub(super) async fn remove_reaction(tx: &mut Tx, id: ReactionId) -> Result<bool> {
    let removed = sqlx::query!("delete from reactions where id = $1", id.0);
    Ok(removed.execute(tx.conn()).await?.rows_affected() == 1)
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
               where p.chat_id = m.chat_id and p.left_at is null and p.joined_seq < m.seq and p.user_id is distinct from m.sender_id
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
    let with_images: Vec<MessageId> = rows
        .iter()
        .filter(|row| row.content_type == ContentType::Image)
        .map(|row| row.id)
        .collect();
    let mut images = match with_images.as_slice() {
        [] => HashMap::new(),
        some => media::of_messages(tx, settings, some).await?,
    };
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
                    DELETED_QUOTE.to_owned()
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
            attachments: images.remove(&row.id).unwrap_or_default(),
        })
    });
    messages.collect()
}

/// Something that the system says.
pub(super) async fn insert_announcement(
    tx: &mut Tx,
    chat: ChatId,
    place: Place,
    text: &str,
    metadata: &str,
) -> Result<MessageId> {
    let id = sqlx::query_scalar!(
        "insert into messages (id, chat_id, seq, content, content_type, metadata, created_at)
         values ($1, $2, $3, $4, 'system', $5::text::json, $6)
         returning id",
        MessageId::new().0,
        chat.0,
        place.seq,
        text,
        metadata,
        place.at,
    );
    Ok(id.fetch_one(tx.conn()).await?)
}
