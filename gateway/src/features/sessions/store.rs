use chrono::{DateTime, Utc};
use shared::{SessionId, UserId, session::LoginSession};

use crate::{
    db::{Db, Tx},
    error::Result,
    features::{Caller, Visitor},
};

/// Why a session ended.
#[derive(Clone, Copy, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(super) enum EndReason {
    LoggedOut,
    Revoked,
    RefreshTokenReused,
}

/// What decides whether a session lives.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub user: UserId,
    pub ended: bool,
    pub expires_at: DateTime<Utc>,
    pub last_activity: DateTime<Utc>,
}

pub async fn begin(
    tx: &mut Tx,
    user: UserId,
    visitor: &Visitor,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<SessionId> {
    let id = SessionId::new();
    sqlx::query!(
        "insert into login_sessions
           (id, user_id, device_name, ip_address, user_agent, created_at, last_activity, expires_at)
         values ($1, $2, $3, $4, $5, $6, $6, $7)",
        id.0,
        user.0,
        visitor.device_name,
        visitor.address.to_string(),
        visitor.user_agent,
        now,
        expires_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(id)
}

pub async fn prolong(
    tx: &mut Tx,
    session: SessionId,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update login_sessions set last_activity = $2, expires_at = $3 where id = $1",
        session.0,
        now,
        expires_at
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn life(db: &Db, session: SessionId) -> Result<Option<Life>> {
    let life = sqlx::query_as!(
        Life,
        r#"select user_id as "user: UserId", ended_at is not null as "ended!", expires_at, last_activity
           from login_sessions where id = $1"#,
        session.0,
    );
    Ok(life.fetch_optional(db.read()).await?)
}

pub(super) async fn note_activity(db: &Db, session: SessionId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update login_sessions set last_activity = greatest(last_activity, $2) where id = $1",
        session.0,
        now
    )
    .execute(db.read())
    .await?;
    Ok(())
}

pub(super) async fn list(db: &Db, caller: &Caller, now: DateTime<Utc>) -> Result<Vec<LoginSession>> {
    let sessions = sqlx::query_as!(
        LoginSession,
        r#"select id, id = $2 as "current!", device_name, ip_address, user_agent, created_at, last_activity, expires_at
           from login_sessions
           where user_id = $1 and ended_at is null and expires_at > $3
           order by last_activity desc, id desc"#,
        caller.user.0,
        caller.session.0,
        now,
    );
    Ok(sessions.fetch_all(db.read()).await?)
}

/// The user's living sessions other than `session`.
pub(super) async fn others(tx: &mut Tx, caller: &Caller) -> Result<Vec<SessionId>> {
    let others = sqlx::query_scalar!(
        "select id from login_sessions where user_id = $1 and id <> $2 and ended_at is null for update",
        caller.user.0,
        caller.session.0,
    );
    Ok(others.fetch_all(tx.conn()).await?)
}

/// Ends those of the sessions that are the user's and live. Says which.
pub(super) async fn end(
    tx: &mut Tx,
    user: UserId,
    sessions: &[SessionId],
    reason: EndReason,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>> {
    let ids: Vec<uuid::Uuid> = sessions.iter().map(|session| session.0).collect();
    let ended = sqlx::query_scalar!(
        "update login_sessions set ended_at = $3, end_reason = $4
         where id = any($2) and user_id = $1 and ended_at is null
         returning id",
        user.0,
        &ids,
        now,
        reason as EndReason,
    );
    Ok(ended.fetch_all(tx.conn()).await?)
}

/// Remove some of what was over before this moment; says how much. Replicas take turns: whoever comes second finds it being done.
pub(super) async fn remove_over(tx: &mut Tx, before: DateTime<Utc>) -> Result<u64> {
    const AT_ONCE: i64 = 5_000;
    let mine = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('chore: expire sessions', 0)) as "mine!""#
    );
    if !mine.fetch_one(tx.conn()).await? {
        return Ok(0);
    }
    let sessions = sqlx::query!(
        "delete from login_sessions where id in
           (select id from login_sessions where expires_at < $1 or ended_at < $1 limit $2)",
        before,
        AT_ONCE,
    );
    let sessions = sessions.execute(tx.conn()).await?.rows_affected();
    let tokens = sqlx::query!(
        "delete from refresh_tokens where digest in (select digest from refresh_tokens where replaced_at < $1 limit $2)",
        before,
        AT_ONCE,
    );
    Ok(sessions + tokens.execute(tx.conn()).await?.rows_affected())
}
