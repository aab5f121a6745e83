use chrono::{DateTime, Utc};
use shared::{ChatId, MessageId, SessionId, UserId, session::LoginSession, topic::Seq};

use super::{
    broken_lines::Noted,
    open::{Mark, Place, Stretch},
};
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

/// Whoever is in a chat has what was delivered, but nothing that was said since their connection began, or since one of theirs broke
/// a moment ago.
pub(super) async fn places(
    db: &Db,
    user: UserId,
    began: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Place>> {
    let rows = sqlx::query!(
        r#"with breaks as (select since, chats, told from broken_lines where user_id = $1 and until > $2
                           union all select $3, '{}', '{}')
           select p.chat_id, least(p.delivered_seq, greatest(p.joined_seq, had.upto)) as "has_upto!"
           from participants p
           join chats c on c.id = p.chat_id
           cross join lateral (
             select min(greatest(b.told[array_position(b.chats, p.chat_id)], coalesce(
                      (select e.seq from events e where e.topic_id = p.chat_id and e.at <= b.since
                       order by e.seq desc limit 1), 0))) as upto
             from breaks b) as had
           where p.user_id = $1 and p.left_at is null and c.deleted_at is null"#,
        user.0,
        now,
        began,
    );
    let places = rows.fetch_all(db.read()).await?.into_iter().map(|row| Place {
        chat: row.chat_id,
        has_upto: row.has_upto,
    });
    Ok(places.collect())
}

pub(super) async fn is_in(db: &Db, user: UserId, chat: ChatId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from participants p join chats c on c.id = p.chat_id
                          where p.chat_id = $1 and p.user_id = $2 and p.left_at is null and c.deleted_at is null)
             as "found!""#,
        chat.0,
        user.0,
    );
    Ok(found.fetch_one(db.read()).await?)
}

/// The stretches as three columns.
fn columns(stretches: &[Stretch]) -> (Vec<uuid::Uuid>, Vec<Seq>, Vec<Seq>) {
    (
        stretches.iter().map(|stretch| stretch.chat.0).collect(),
        stretches.iter().map(|stretch| stretch.after).collect(),
        stretches.iter().map(|stretch| stretch.upto).collect(),
    )
}

pub(super) async fn undelivered(
    tx: &mut Tx,
    user: UserId,
    stretches: &[Stretch],
    after: Option<Mark>,
    limit: i64,
) -> Result<Vec<MessageId>> {
    let (chats, afters, uptos) = columns(stretches);
    let ids = sqlx::query_scalar!(
        r#"select m.id as "id: MessageId"
           from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as stretch (chat_id, after, upto)
           join messages m on m.chat_id = stretch.chat_id and m.seq > stretch.after and m.seq <= stretch.upto
           -- Page by page: whoever is removed meanwhile gets no further.
           join participants p on p.chat_id = stretch.chat_id and p.user_id = $4 and p.left_at is null
           join chats c on c.id = stretch.chat_id and c.deleted_at is null
           where m.sender_id is distinct from $4
             and ($5::timestamptz is null or (m.created_at, m.id) > ($5, $6))
           order by m.created_at, m.id
           limit $7"#,
        &chats,
        &afters,
        &uptos,
        user.0,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id.0),
        limit,
    );
    Ok(ids.fetch_all(tx.conn()).await?)
}

/// A connection broke. Says since when that is; nothing if there was nothing to miss.
pub(super) async fn line_broke(
    tx: &mut Tx,
    user: UserId,
    noted: &Noted,
    until: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let columns = |places: &[(ChatId, Seq)]| -> (Vec<uuid::Uuid>, Vec<Seq>) {
        places.iter().map(|(chat, seq)| (chat.0, *seq)).unzip()
    };
    let (behind, behind_seqs) = columns(&noted.behind);
    let (told, told_seqs) = columns(&noted.told);
    let since = sqlx::query_scalar!(
        "insert into broken_lines (user_id, since, chats, told, until)
         select $1, broken.since, $5, $6, $7
         from (select least($2, (select min(e.at) - interval '1 microsecond'
                                 from unnest($3::uuid[], $4::bigint[]) as behind (chat_id, seq)
                                 join events e on e.topic_id = behind.chat_id and e.seq = behind.seq + 1)) as since) as broken
         where broken.since is not null
         returning since",
        user.0,
        noted.since,
        &behind,
        &behind_seqs,
        &told,
        &told_seqs,
        until,
    );
    Ok(since.fetch_optional(tx.conn()).await?)
}

/// Connections of many people broke. Says which of them there are.
pub(super) async fn lines_broke(
    tx: &mut Tx,
    users: &[UserId],
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<UserId>> {
    let users: Vec<_> = users.iter().map(|user| user.0).collect();
    let known = sqlx::query_scalar!(
        r#"insert into broken_lines (user_id, since, until)
           select u.id, $2, $3 from users u where u.id = any($1)
           returning user_id as "user_id: UserId""#,
        &users,
        since,
        until,
    );
    Ok(known.fetch_all(tx.conn()).await?)
}

pub(super) async fn forget_broken_lines(db: &Db, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("delete from broken_lines where until < $1", now)
        .execute(db.read())
        .await?;
    Ok(())
}
