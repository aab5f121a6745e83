use std::collections::HashSet;

use chrono::{DateTime, Utc};
use shared::{ChatId, ContactId, UserId};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{db::Tx, error::Result};

/// What is between two people.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub id: ContactId,
    pub first_id: UserId,
    pub second_id: UserId,
    pub requested_by: UserId,
    pub created_at: DateTime<Utc>,
    pub accepted_at: Option<DateTime<Utc>>,
}

impl Relation {
    /// The other one of the two.
    pub(super) fn other(&self, one: UserId) -> UserId {
        if one == self.first_id {
            self.second_id
        } else {
            self.first_id
        }
    }
}

/// Have these two accepted each other? Stays so until the end of the transaction.
pub async fn are_contacts(tx: &mut Tx, a: UserId, b: UserId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select 1 as "found!" from contacts
           where first_id = $1 and second_id = $2 and status = 'accepted' for share"#,
        a.min(b).0,
        a.max(b).0,
    );
    Ok(found.fetch_optional(tx.conn()).await?.is_some())
}

/// Has one of these two blocked the other?
pub async fn are_blocked(tx: &mut Tx, a: UserId, b: UserId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from blocks where (blocker_id, blocked_id) in (($1, $2), ($2, $1))) as "found!""#,
        a.0,
        b.0,
    );
    Ok(found.fetch_one(tx.conn()).await?)
}

/// Those of `people` whom `viewer` has blocked or who have blocked `viewer`: neither sees whether the other is there.
pub async fn hidden_from(
    database: impl PgExecutor<'_>,
    viewer: UserId,
    people: &[UserId],
) -> Result<HashSet<UserId>> {
    let people: Vec<Uuid> = people.iter().map(|id| id.0).collect();
    let hidden = sqlx::query_scalar!(
        r#"select blocked_id as "id!: UserId" from blocks where blocker_id = $1 and blocked_id = any($2)
           union
           select blocker_id from blocks where blocked_id = $1 and blocker_id = any($2)"#,
        viewer.0,
        &people,
    );
    Ok(hidden.fetch_all(database).await?.into_iter().collect())
}

/// Those of `people` who have blocked others of them, or been blocked by them.
pub async fn at_odds(tx: &mut Tx, people: &[UserId]) -> Result<HashSet<UserId>> {
    let people: Vec<Uuid> = people.iter().map(|id| id.0).collect();
    let at_odds = sqlx::query_scalar!(
        r#"select blocker_id as "id!: UserId" from blocks where blocker_id = any($1) and blocked_id = any($1)
           union
           select blocked_id from blocks where blocker_id = any($1) and blocked_id = any($1)"#,
        &people,
    );
    Ok(at_odds.fetch_all(tx.conn()).await?.into_iter().collect())
}

/// Those of `people` who have blocked `actor`.
pub async fn blocking(tx: &mut Tx, actor: UserId, people: &[UserId]) -> Result<HashSet<UserId>> {
    let people: Vec<Uuid> = people.iter().map(|id| id.0).collect();
    let blocking = sqlx::query_scalar!(
        "select blocker_id from blocks where blocked_id = $1 and blocker_id = any($2)",
        actor.0,
        &people,
    );
    Ok(blocking.fetch_all(tx.conn()).await?.into_iter().collect())
}

/// Who is told whether `user` is there: contacts, unless one has blocked the other.
pub async fn audience(database: impl PgExecutor<'_>, user: UserId) -> Result<Vec<UserId>> {
    let audience = sqlx::query_scalar!(
        r#"select case when c.first_id = $1 then c.second_id else c.first_id end as "id!: UserId"
           from contacts c
           where (c.first_id = $1 or c.second_id = $1) and c.status = 'accepted'
             and not exists (select from blocks b
                             where (b.blocker_id, b.blocked_id) in ((c.first_id, c.second_id), (c.second_id, c.first_id)))"#,
        user.0,
    );
    Ok(audience.fetch_all(database).await?)
}

/// The person that an id stands for: their own, that of `owner`'s relation with them, or that of their direct chat.
pub(super) async fn person_behind(tx: &mut Tx, owner: UserId, id: Uuid) -> Result<Option<UserId>> {
    let person = sqlx::query_scalar!(
        r#"select id as "id!: UserId" from users where id = $1
           union all
           select case when first_id = $2 then second_id else first_id end
           from contacts where id = $1 and $2 in (first_id, second_id)
           union all
           select case when first_id = $2 then second_id else first_id end
           from chats where id = $1 and $2 in (first_id, second_id)"#,
        id,
        owner.0,
    );
    Ok(person.fetch_optional(tx.conn()).await?)
}

/// Asking and blocking take turns between two people: otherwise a request that is made while it is being forbidden would stay.
/// There may be no row yet that both could wait for.
pub(super) async fn take_turn(tx: &mut Tx, a: UserId, b: UserId) -> Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('contacts: ' || $1::text || $2::text, 0))",
        a.min(b).to_string(),
        a.max(b).to_string(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether that is new.
pub(super) async fn block(tx: &mut Tx, blocker: UserId, blocked: UserId, now: DateTime<Utc>) -> Result<bool> {
    let added = sqlx::query!(
        "insert into blocks (blocker_id, blocked_id, created_at) values ($1, $2, $3) on conflict do nothing",
        blocker.0,
        blocked.0,
        now,
    );
    Ok(added.execute(tx.conn()).await?.rows_affected() == 1)
}

/// Whether there was something to undo.
pub(super) async fn unblock(tx: &mut Tx, blocker: UserId, blocked: UserId) -> Result<bool> {
    let removed = sqlx::query!(
        "delete from blocks where blocker_id = $1 and blocked_id = $2",
        blocker.0,
        blocked.0,
    );
    Ok(removed.execute(tx.conn()).await?.rows_affected() == 1)
}

/// A new request, unless there is something between the two already: then that comes back.
pub(super) async fn add_request(
    tx: &mut Tx,
    from: UserId,
    to: UserId,
    now: DateTime<Utc>,
) -> Result<Result<Relation, Relation>> {
    let (first, second) = (from.min(to), from.max(to));
    let added = sqlx::query_as!(
        Relation,
        "insert into contacts (id, first_id, second_id, requested_by, status, created_at)
         values ($1, $2, $3, $4, 'pending', $5)
         on conflict on constraint contacts_pair do nothing
         returning id, first_id, second_id, requested_by, created_at, accepted_at",
        ContactId::new().0,
        first.0,
        second.0,
        from.0,
        now,
    )
    .fetch_optional(tx.conn())
    .await?;
    if let Some(added) = added {
        return Ok(Ok(added));
    }
    let existing = sqlx::query_as!(
        Relation,
        "select id, first_id, second_id, requested_by, created_at, accepted_at from contacts
         where first_id = $1 and second_id = $2",
        first.0,
        second.0,
    );
    Ok(Err(existing.fetch_one(tx.conn()).await?))
}

/// A relation of `user`'s; nobody else changes it until the end of the transaction.
pub(super) async fn hold(tx: &mut Tx, id: ContactId, user: UserId) -> Result<Option<Relation>> {
    let relation = sqlx::query_as!(
        Relation,
        "select id, first_id, second_id, requested_by, created_at, accepted_at from contacts
         where id = $1 and $2 in (first_id, second_id) for update",
        id.0,
        user.0,
    );
    Ok(relation.fetch_optional(tx.conn()).await?)
}

/// What is between two people; nobody else changes it until the end of the transaction.
pub(super) async fn hold_between(tx: &mut Tx, a: UserId, b: UserId) -> Result<Option<Relation>> {
    let relation = sqlx::query_as!(
        Relation,
        "select id, first_id, second_id, requested_by, created_at, accepted_at from contacts
         where first_id = $1 and second_id = $2 for update",
        a.min(b).0,
        a.max(b).0,
    );
    Ok(relation.fetch_optional(tx.conn()).await?)
}

pub(super) async fn accept(tx: &mut Tx, id: ContactId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update contacts set status = 'accepted', accepted_at = $2 where id = $1",
        id.0,
        now
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn remove(tx: &mut Tx, id: ContactId) -> Result<()> {
    sqlx::query!("delete from contacts where id = $1", id.0)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Requests that wait for `user`'s answer, the newest first.
pub(super) async fn pending(tx: &mut Tx, user: UserId) -> Result<Vec<Relation>> {
    let pending = sqlx::query_as!(
        Relation,
        "select id, first_id, second_id, requested_by, created_at, accepted_at from contacts
         where status = 'pending' and requested_by <> $1 and (first_id = $1 or second_id = $1)
         order by created_at desc, id",
        user.0,
    );
    Ok(pending.fetch_all(tx.conn()).await?)
}

/// What `user` has with a contact.
pub(super) struct Entry {
    pub relation: Relation,
    pub chat: ChatId,
    /// `user` has blocked them.
    pub is_blocked: bool,
    /// One has blocked the other.
    pub is_hidden: bool,
}

/// `user`'s contacts, or one of them.
pub(super) async fn accepted(tx: &mut Tx, user: UserId, only: Option<UserId>) -> Result<Vec<Entry>> {
    let rows = sqlx::query!(
        r#"select c.id, c.first_id, c.second_id, c.requested_by, c.created_at, c.accepted_at, chats.id as chat_id,
                  exists (select from blocks b where b.blocker_id = $1 and b.blocked_id in (c.first_id, c.second_id))
                    as "is_blocked!",
                  exists (select from blocks b where b.blocked_id = $1 and b.blocker_id in (c.first_id, c.second_id))
                    as "blocks_user!"
           from contacts c
           join chats on chats.first_id = c.first_id and chats.second_id = c.second_id
           where c.status = 'accepted' and (c.first_id = $1 or c.second_id = $1)
             and ($2::uuid is null or $2 in (c.first_id, c.second_id))"#,
        user.0,
        only.map(|id| id.0),
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|row| Entry {
        relation: Relation {
            id: row.id,
            first_id: row.first_id,
            second_id: row.second_id,
            requested_by: row.requested_by,
            created_at: row.created_at,
            accepted_at: row.accepted_at,
        },
        chat: row.chat_id,
        is_blocked: row.is_blocked,
        is_hidden: row.is_blocked || row.blocks_user,
    });
    Ok(rows.collect())
}
