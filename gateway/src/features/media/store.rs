use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared::{AttachmentId, ChatId, MessageId, UserId, media::Attachment};
use uuid::Uuid;

use crate::{
    db::{Db, Tx},
    error::{Error, Result},
    features::Settings,
};

/// An image as the database knows it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub id: AttachmentId,
    pub uploader_id: UserId,
    pub message_id: Option<MessageId>,
    pub file_name: String,
    pub file_type: String,
    pub file_size: i32,
    pub width: i32,
    pub height: i32,
    pub original_key: String,
    pub medium_key: String,
    pub thumbnail_key: String,
    pub created_at: DateTime<Utc>,
}

impl Row {
    pub fn shown(self, settings: &Settings) -> Attachment {
        let url = settings.image_url(&self.original_key);
        Attachment {
            id: self.id,
            message_id: self.message_id,
            file_name: self.file_name,
            file_type: self.file_type,
            file_size: self.file_size.into(),
            original_url: url.clone(),
            url,
            medium_url: settings.image_url(&self.medium_key),
            thumbnail_url: settings.image_url(&self.thumbnail_key),
            width: self.width,
            height: self.height,
            created_at: self.created_at,
        }
    }

    pub fn has_key(&self, key: &str) -> bool {
        [&self.original_key, &self.medium_key, &self.thumbnail_key]
            .into_iter()
            .any(|known| known == key)
    }
}

/// From now on these objects are to be removed at that time, unless somebody claims them before.
pub(super) async fn write_down(tx: &mut Tx, keys: &[String], due: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "insert into blobs_to_remove (key, due_at) select key, $2 from unnest($1::text[]) as key",
        keys,
        due,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Take them off that list.
pub(super) async fn claim(tx: &mut Tx, keys: &[String]) -> Result<()> {
    let claimed = sqlx::query!("delete from blobs_to_remove where key = any($1)", keys);
    if claimed.execute(tx.conn()).await?.rows_affected() == keys.len() as u64 {
        Ok(())
    } else {
        Err(Error::unavailable(
            "what was stored was removed before anybody claimed it",
        ))
    }
}

pub(super) async fn due(db: &Db, now: DateTime<Utc>, limit: i64) -> Result<Vec<String>> {
    let keys = sqlx::query_scalar!(
        "select key from blobs_to_remove where due_at <= $1 order by due_at limit $2",
        now,
        limit
    );
    Ok(keys.fetch_all(db.read()).await?)
}

pub(super) async fn strike_out(tx: &mut Tx, keys: &[String]) -> Result<()> {
    sqlx::query!("delete from blobs_to_remove where key = any($1)", keys)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn postpone(tx: &mut Tx, keys: &[String], due: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update blobs_to_remove set due_at = $2 where key = any($1)",
        keys,
        due
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn insert(tx: &mut Tx, row: &Row) -> Result<()> {
    sqlx::query!(
        "insert into attachments
           (id, uploader_id, file_name, file_type, file_size, width, height, original_key, medium_key, thumbnail_key, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        row.id.0,
        row.uploader_id.0,
        row.file_name,
        row.file_type,
        row.file_size,
        row.width,
        row.height,
        row.original_key,
        row.medium_key,
        row.thumbnail_key,
        row.created_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// An image, and the chat of the message that uses it.
pub(super) async fn find(tx: &mut Tx, id: AttachmentId) -> Result<Option<(Row, Option<ChatId>)>> {
    let row = sqlx::query!(
        r#"select a.id, a.uploader_id, a.message_id as "message_id?", a.file_name, a.file_type, a.file_size, a.width, a.height,
                  a.original_key, a.medium_key, a.thumbnail_key, a.created_at, m.chat_id as "chat_id?"
           from attachments a left join messages m on m.id = a.message_id
           where a.id = $1"#,
        id.0,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| {
        let image = Row {
            id: row.id,
            uploader_id: row.uploader_id,
            message_id: row.message_id,
            file_name: row.file_name,
            file_type: row.file_type,
            file_size: row.file_size,
            width: row.width,
            height: row.height,
            original_key: row.original_key,
            medium_key: row.medium_key,
            thumbnail_key: row.thumbnail_key,
            created_at: row.created_at,
        };
        (image, row.chat_id)
    }))
}

/// Images of these people that no message uses, by their ids or by the keys of their originals. Nobody else takes them until the
/// end of the transaction. What is used already must not be held: whoever deletes its message holds the chat and waits for it.
pub(super) async fn hold_unused(
    tx: &mut Tx,
    uploaders: &[UserId],
    ids: &[AttachmentId],
    keys: &[&str],
) -> Result<Vec<Row>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, uploader_id, message_id as "message_id?: MessageId", file_name, file_type, file_size, width, height,
                  original_key, medium_key, thumbnail_key, created_at
           from attachments
           where uploader_id = any($1) and message_id is null and (id = any($2) or original_key = any($3))
           order by id for update"#,
        &uuids(uploaders.iter().map(|id| id.0)),
        &uuids(ids.iter().map(|id| id.0)),
        keys as &[&str],
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

/// The same, of those that a message uses.
pub(super) async fn used(
    tx: &mut Tx,
    uploaders: &[UserId],
    ids: &[AttachmentId],
    keys: &[&str],
) -> Result<Vec<Row>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, uploader_id, message_id as "message_id?: MessageId", file_name, file_type, file_size, width, height,
                  original_key, medium_key, thumbnail_key, created_at
           from attachments
           where uploader_id = any($1) and message_id is not null and (id = any($2) or original_key = any($3))"#,
        &uuids(uploaders.iter().map(|id| id.0)),
        &uuids(ids.iter().map(|id| id.0)),
        keys as &[&str],
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

fn uuids(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    ids.collect()
}

/// Each image with the message that it is of, in the order of the message's images.
pub(super) async fn give(tx: &mut Tx, messages: &[MessageId], images: &[AttachmentId]) -> Result<()> {
    sqlx::query!(
        "update attachments set message_id = wanted.message_id, position = wanted.position
         from unnest($1::uuid[], $2::uuid[]) with ordinality as wanted (message_id, id, position)
         where attachments.id = wanted.id",
        &uuids(messages.iter().map(|id| id.0)),
        &uuids(images.iter().map(|id| id.0)),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The images of these messages, each in their order.
pub async fn of_messages(
    tx: &mut Tx,
    settings: &Settings,
    messages: &[MessageId],
) -> Result<HashMap<MessageId, Vec<Attachment>>> {
    let ids = uuids(messages.iter().map(|id| id.0));
    let rows = sqlx::query_as!(
        Row,
        r#"select id, uploader_id, message_id as "message_id?: MessageId", file_name, file_type, file_size, width, height,
                  original_key, medium_key, thumbnail_key, created_at
           from attachments where message_id = any($1) order by message_id, position"#,
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut images = HashMap::<_, Vec<_>>::new();
    for row in rows {
        if let Some(message) = row.message_id {
            images.entry(message).or_default().push(row.shown(settings));
        }
    }
    Ok(images)
}

/// The message has no images any more.
pub async fn delete_of_message(tx: &mut Tx, message: MessageId) -> Result<()> {
    sqlx::query!("delete from attachments where message_id = $1", message.0)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Whether it was still unused.
pub(super) async fn delete_unused(tx: &mut Tx, id: AttachmentId) -> Result<bool> {
    let deleted = sqlx::query!(
        "delete from attachments where id = $1 and message_id is null",
        id.0
    );
    Ok(deleted.execute(tx.conn()).await?.rows_affected() == 1)
}

pub(super) async fn forget_unused(tx: &mut Tx, before: DateTime<Utc>) -> Result<u64> {
    let forgotten = sqlx::query!(
        "delete from attachments where message_id is null and created_at < $1",
        before
    );
    Ok(forgotten.execute(tx.conn()).await?.rows_affected())
}
