use chrono::{DateTime, Utc};
use shared::{
    SessionId, UserId,
    problem::Reason,
    text::{DisplayName, Username},
};

use super::{KeptRefreshToken, tokens::RefreshToken};
use crate::{
    db::{Db, OnConstraint, Tx},
    error::Result,
};

pub(super) async fn add_user(
    tx: &mut Tx,
    username: &Username,
    display_name: &DisplayName,
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<UserId> {
    let id = UserId::new();
    sqlx::query!(
        "insert into users (id, username, display_name, password_hash, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $5)",
        id.0,
        &**username,
        &**display_name,
        password_hash,
        now,
    )
    .execute(tx.conn())
    .await
    .on_constraint("users_username", Reason::UsernameTaken)?;
    Ok(id)
}

pub(super) async fn is_taken(db: &Db, username: &Username) -> Result<bool> {
    let taken = sqlx::query_scalar!(
        r#"select exists (select from users where username = $1) as "taken!""#,
        &**username
    );
    Ok(taken.fetch_one(db.read()).await?)
}

pub(super) struct Known {
    pub id: UserId,
    pub password_hash: String,
}

pub(super) async fn known(db: &Db, username: &str) -> Result<Option<Known>> {
    // PostgreSQL knows no null bytes, so nobody is called that.
    if username.contains('\0') {
        return Ok(None);
    }
    let known = sqlx::query_as!(
        Known,
        "select id, password_hash from users where username = $1",
        username
    );
    Ok(known.fetch_optional(db.read()).await?)
}

pub(super) async fn add_refresh_token(
    tx: &mut Tx,
    session: SessionId,
    token: &RefreshToken,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into refresh_tokens (digest, session_id, issued_at) values ($1, $2, $3)",
        &token.digest()[..],
        session.0,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The token as we know it. Holds its session until the end of the transaction: refreshes of one session take turns, on
/// whichever replicas they arrive.
pub(super) async fn hold_refresh_token(
    tx: &mut Tx,
    token: &RefreshToken,
    now: DateTime<Utc>,
) -> Result<Option<KeptRefreshToken>> {
    let digest = token.digest();
    // First the session, then the token, in two statements: a statement that waited for the lock still sees the token as it was
    // before the wait.
    let session = sqlx::query!(
        r#"select s.id, s.user_id, (s.ended_at is not null or s.expires_at <= $2) as "over!"
           from login_sessions s
           where s.id = (select t.session_id from refresh_tokens t where t.digest = $1)
           for update"#,
        &digest[..],
        now,
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(session) = session else { return Ok(None) };
    let token = sqlx::query!(
        "select replaced_at, sealed_successor from refresh_tokens where digest = $1",
        &digest[..]
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Some(KeptRefreshToken {
        session: session.id,
        user: session.user_id,
        session_is_over: session.over,
        replaced_at: token.replaced_at,
        sealed_successor: token.sealed_successor,
    }))
}

pub(super) async fn replace_refresh_token(
    tx: &mut Tx,
    old: &RefreshToken,
    new: &RefreshToken,
    session: SessionId,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update refresh_tokens set replaced_at = $2, sealed_successor = $3 where digest = $1",
        &old.digest()[..],
        now,
        &old.seal(new)[..],
    )
    .execute(tx.conn())
    .await?;
    add_refresh_token(tx, session, new, now).await
}
