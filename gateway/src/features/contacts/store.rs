use std::collections::HashSet;

use chrono::{DateTime, Utc};
use shared::{ChatId, ContactId, UserId};

use crate::{
    db::{Db, Tx},
    error::Result,
};

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

/// `user`'s contacts, and the chats with them.
pub(super) async fn accepted(tx: &mut Tx, user: UserId) -> Result<Vec<(Relation, ChatId)>> {
    let rows = sqlx::query!(
        r#"select c.id, c.first_id, c.second_id, c.requested_by, c.created_at, c.accepted_at, chats.id as chat_id
           from contacts c
           join chats on chats.first_id = c.first_id and chats.second_id = c.second_id
           where c.status = 'accepted' and (c.first_id = $1 or c.second_id = $1)"#,
        user.0,
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|row| {
        let relation = Relation {
            id: row.id,
            first_id: row.first_id,
            second_id: row.second_id,
            requested_by: row.requested_by,
            created_at: row.created_at,
            accepted_at: row.accepted_at,
        };
        (relation, row.chat_id)
    });
    Ok(rows.collect())
}

/// Who is told when `user` comes and goes.
pub async fn audience(db: &Db, user: UserId) -> Result<Vec<UserId>> {
    let others = sqlx::query_scalar!(
        r#"select case when c.first_id = $1 then c.second_id else c.first_id end as "other!: UserId"
           from contacts c
           where c.status = 'accepted' and $1 in (c.first_id, c.second_id)
             and not exists (select from blocks b
                             where (b.blocker_id, b.blocked_id) in ((c.first_id, c.second_id), (c.second_id, c.first_id)))"#,
        user.0,
    );
    Ok(others.fetch_all(db.read()).await?)
}

/// Those of the people who have a block between them and `viewer`.
pub async fn hidden_from(db: &Db, viewer: UserId, people: &[UserId]) -> Result<HashSet<UserId>> {
    let ids: Vec<uuid::Uuid> = people.iter().map(|id| id.0).collect();
    let hidden = sqlx::query_scalar!(
        r#"select blocked_id as "id!: UserId" from blocks where blocker_id = $1 and blocked_id = any($2)
           union
           select blocker_id from blocks where blocked_id = $1 and blocker_id = any($2)"#,
        viewer.0,
        &ids,
    );
    Ok(hidden.fetch_all(db.read()).await?.into_iter().collect())
}
