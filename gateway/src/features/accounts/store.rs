use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared::{
    UserId,
    account::{Status, UpdateProfile, User},
    text::Username,
};

use crate::{
    db::{Db, Tx},
    error::Result,
    features::{Caller, Settings},
};

/// A person as the database knows them.
pub struct UserRow {
    pub id: UserId,
    pub username: Username,
    pub display_name: String,
    pub avatar_key: Option<String>,
    pub chosen_status: Option<Status>,
    pub last_seen: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl UserRow {
    pub fn shown(self, settings: &Settings) -> User {
        User {
            id: self.id,
            username: self.username,
            display_name: Some(self.display_name),
            avatar_url: self.avatar_key.map(|key| settings.image_url(&key)),
            // Whether they are there is for `presence` to say.
            status: self.chosen_status.unwrap_or(Status::Offline),
            chosen_status: self.chosen_status,
            last_seen: self.last_seen,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// Somebody who is known to exist.
pub async fn user(tx: &mut Tx, settings: &Settings, id: UserId) -> Result<User> {
    let row = sqlx::query_as!(
        UserRow,
        r#"select id, username, display_name, avatar_key, chosen_status as "chosen_status: Status", last_seen,
                  created_at, updated_at
           from users where id = $1"#,
        id.0,
    );
    Ok(row.fetch_one(tx.conn()).await?.shown(settings))
}

/// These people, as far as they exist.
pub async fn people(tx: &mut Tx, settings: &Settings, ids: &[UserId]) -> Result<HashMap<UserId, User>> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        UserRow,
        r#"select id, username, display_name, avatar_key, chosen_status as "chosen_status: Status", last_seen,
                  created_at, updated_at
           from users where id = any($1)"#,
        &ids,
    );
    let rows = rows.fetch_all(tx.conn()).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.shown(settings)))
        .collect())
}

/// Somebody, and whether the caller may see them: their own profile, a contact, or somebody they share a chat with.
pub(super) async fn user_and_visibility(
    db: &Db,
    settings: &Settings,
    caller: &Caller,
    id: UserId,
) -> Result<Option<(User, bool)>> {
    let row = sqlx::query!(
        r#"select u.id, u.username, u.display_name, u.avatar_key, u.chosen_status as "chosen_status: Status",
                  u.last_seen, u.created_at, u.updated_at,
                  ( u.id = $1
                    or exists (select from contacts c
                               where c.first_id = least(u.id, $1) and c.second_id = greatest(u.id, $1)
                                 and c.status = 'accepted')
                    or exists (select from participants theirs
                               join participants mine using (chat_id)
                               join chats on chats.id = chat_id
                               where theirs.user_id = u.id and theirs.left_at is null
                                 and mine.user_id = $1 and mine.left_at is null
                                 and chats.deleted_at is null)
                  ) as "visible!"
           from users u where u.id = $2"#,
        caller.user.0,
        id.0,
    )
    .fetch_optional(db.read())
    .await?;
    Ok(row.map(|row| {
        let user = UserRow {
            id: row.id,
            username: row.username,
            display_name: row.display_name,
            avatar_key: row.avatar_key,
            chosen_status: row.chosen_status,
            last_seen: row.last_seen,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        (user.shown(settings), row.visible)
    }))
}

pub(super) async fn update(
    tx: &mut Tx,
    caller: &Caller,
    change: &UpdateProfile,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update users
         set display_name = coalesce($2, display_name), chosen_status = coalesce($3, chosen_status), updated_at = $4
         where id = $1",
        caller.user.0,
        change.display_name.as_deref(),
        change.status as Option<Status>,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn choose_status(
    tx: &mut Tx,
    caller: &Caller,
    status: Status,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update users set chosen_status = $2, updated_at = $3 where id = $1",
        caller.user.0,
        status as Status,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Everybody who may see somebody's profile: contacts, and members of common chats. But not whom they blocked, or who blocked them.
pub(super) async fn onlookers(db: &Db, user: UserId) -> Result<Vec<UserId>> {
    let onlookers = sqlx::query_scalar!(
        r#"select onlooker.id as "id!: UserId"
           from (select case when c.first_id = $1 then c.second_id else c.first_id end as id
                 from contacts c where c.status = 'accepted' and $1 in (c.first_id, c.second_id)
                 union
                 select theirs.user_id
                 from participants mine
                 join chats on chats.id = mine.chat_id and chats.deleted_at is null
                 join participants theirs on theirs.chat_id = mine.chat_id and theirs.left_at is null
                 where mine.user_id = $1 and mine.left_at is null and theirs.user_id <> $1) onlooker
           where not exists (select from blocks b where (b.blocker_id, b.blocked_id) in
                               (($1, onlooker.id), (onlooker.id, $1)))"#,
        user.0,
    );
    Ok(onlookers.fetch_all(db.read()).await?)
}

pub(super) async fn replace_avatar(
    tx: &mut Tx,
    caller: &Caller,
    key: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update users set avatar_key = $2, updated_at = $3 where id = $1",
        caller.user.0,
        key,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
