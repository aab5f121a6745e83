use shared::{ChatId, MessageId, UserId, topic::Seq};
use uuid::Uuid;

use super::Reached;
use crate::{
    db::{Db, Tx},
    error::Result,
};

/// Where in a chat somebody wants to get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub chat: ChatId,
    /// Whether they are in it now, rather than once.
    pub is_member: bool,
    /// The newest of other people's messages there.
    pub seq: Option<Seq>,
    /// The same, if it has not been read.
    pub upto: Option<Seq>,
}

/// Where somebody gets by these messages, in each of the chats that they are or were in. Asked without any lock: clients say by the
/// dozen what we know already.
pub(super) async fn goals(db: &Db, user: UserId, ids: &[MessageId]) -> Result<Vec<Goal>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let goals = sqlx::query_as!(
        Goal,
        r#"select p.chat_id as chat, (p.left_at is null and c.deleted_at is null) as "is_member!",
                  max(m.seq) filter (where m.sender_id is distinct from $2) as seq,
                  max(m.seq) filter (where m.sender_id is distinct from $2 and m.seq > p.read_seq) as upto
           from messages m
           join participants p on p.chat_id = m.chat_id and p.user_id = $2
           join chats c on c.id = m.chat_id
           where m.id = any($1)
           group by p.id, c.id
           order by p.chat_id"#,
        &ids,
        user.0,
    );
    Ok(goals.fetch_all(db.read()).await?)
}

/// Where somebody gets by reading a whole chat that they are or were in.
pub(super) async fn end_of_chat(db: &Db, user: UserId, chat: ChatId) -> Result<Option<Goal>> {
    let goal = sqlx::query_as!(
        Goal,
        r#"select p.chat_id as chat, (p.left_at is null and c.deleted_at is null) as "is_member!", newest.seq,
                  newest.seq as upto
           from participants p
           join chats c on c.id = p.chat_id
           cross join lateral (
               select max(m.seq) as seq from messages m
               where m.chat_id = p.chat_id and m.seq > p.read_seq and m.sender_id is distinct from $1
           ) newest
           where p.chat_id = $2 and p.user_id = $1"#,
        user.0,
        chat.0,
    );
    Ok(goal.fetch_optional(db.read()).await?)
}

/// Move somebody's position, unless they are further or gone. Where they were comes back.
pub(super) async fn advance_read(tx: &mut Tx, chat: ChatId, user: UserId, upto: Seq) -> Result<Option<Seq>> {
    let from = sqlx::query_scalar!(
        "with held as (
             select id, read_seq from participants
             where chat_id = $1 and user_id = $2 and left_at is null and read_seq < $3
             for no key update
         )
         update participants p set read_seq = $3, delivered_seq = greatest(p.delivered_seq, $3)
         from held where p.id = held.id
         returning held.read_seq",
        chat.0,
        user.0,
        upto,
    );
    Ok(from.fetch_optional(tx.conn()).await?)
}

/// A message that its author is told something of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub id: MessageId,
    pub chat: ChatId,
    pub author: UserId,
    pub seq: Seq,
}

/// The newest messages of a stretch that somebody has read, the oldest first: those of members, but for the reader's own.
pub(super) async fn told_of_reading(
    tx: &mut Tx,
    chat: ChatId,
    reader: UserId,
    after: Seq,
    upto: Seq,
    limit: i64,
) -> Result<Vec<Told>> {
    let told = sqlx::query_as!(
        Told,
        r#"select m.id, m.chat_id as chat, m.sender_id as "author!: UserId", m.seq
           from messages m
           join participants a on a.chat_id = m.chat_id and a.user_id = m.sender_id and a.left_at is null
           where m.chat_id = $1 and m.seq > $3 and m.seq <= $4 and m.sender_id <> $2
             and m.deleted_at is null and m.content_type <> 'system'
           order by m.seq desc limit $5"#,
        chat.0,
        reader.0,
        after,
        upto,
        limit,
    );
    let mut told = told.fetch_all(tx.conn()).await?;
    told.reverse();
    Ok(told)
}

/// The newest messages of each of these stretches, the oldest first: those of members.
pub(super) async fn told_of_delivery(
    tx: &mut Tx,
    stretches: &[(ChatId, Seq, Seq)],
    limit: i64,
) -> Result<Vec<Told>> {
    let chats: Vec<Uuid> = stretches.iter().map(|(chat, ..)| chat.0).collect();
    let after: Vec<Seq> = stretches.iter().map(|(_, after, _)| *after).collect();
    let upto: Vec<Seq> = stretches.iter().map(|(.., upto)| *upto).collect();
    let told = sqlx::query_as!(
        Told,
        r#"select told.id as "id!: MessageId", told.chat_id as "chat!: ChatId", told.sender_id as "author!: UserId",
                  told.seq as "seq!"
           from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as stretch (chat_id, after, upto)
           cross join lateral (
               select m.id, m.chat_id, m.sender_id, m.seq, m.created_at
               from messages m
               join participants a on a.chat_id = m.chat_id and a.user_id = m.sender_id and a.left_at is null
               where m.chat_id = stretch.chat_id and m.seq > stretch.after and m.seq <= stretch.upto
                 and m.deleted_at is null and m.content_type <> 'system'
               order by m.seq desc limit $4
           ) told
           order by told.created_at, told.id"#,
        &chats,
        &after,
        &upto,
        limit,
    );
    Ok(told.fetch_all(tx.conn()).await?)
}

/// How far a member got.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub chat: ChatId,
    pub user: UserId,
    pub joined_seq: Seq,
    pub delivered_seq: Seq,
    pub read_seq: Seq,
}

/// Where all members of these chats are.
pub(super) async fn positions(tx: &mut Tx, chats: &[ChatId]) -> Result<Vec<Position>> {
    let chats: Vec<Uuid> = chats.iter().map(|chat| chat.0).collect();
    let positions = sqlx::query_as!(
        Position,
        r#"select chat_id as chat, user_id as "user", joined_seq, delivered_seq, read_seq from participants
           where chat_id = any($1) and left_at is null"#,
        &chats,
    );
    Ok(positions.fetch_all(tx.conn()).await?)
}

/// How many messages of others somebody has not read. What the system says is no news.
pub(super) async fn unread(tx: &mut Tx, chat: ChatId, user: UserId) -> Result<i64> {
    let unread = sqlx::query_scalar!(
        r#"select count(*) as "unread!" from messages m
           join participants p on p.chat_id = m.chat_id and p.user_id = $2
           where m.chat_id = $1 and m.seq > p.read_seq and m.sender_id <> $2 and m.deleted_at is null"#,
        chat.0,
        user.0,
    );
    Ok(unread.fetch_one(tx.conn()).await?)
}

/// Up to where somebody has a chat.
pub(super) async fn delivered(tx: &mut Tx, chat: ChatId, user: UserId) -> Result<Seq> {
    let delivered = sqlx::query_scalar!(
        "select delivered_seq from participants where chat_id = $1 and user_id = $2",
        chat.0,
        user.0,
    );
    Ok(delivered.fetch_one(tx.conn()).await?)
}

/// Is any of these news? Asked without any lock.
pub(super) async fn any_further(db: &Db, reached: &[Reached]) -> Result<bool> {
    let (chats, users, upto) = columns(reached);
    let found = sqlx::query_scalar!(
        r#"select exists (
               select from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as reached (chat_id, user_id, upto)
               join participants p on p.chat_id = reached.chat_id and p.user_id = reached.user_id
               where p.left_at is null and p.delivered_seq < reached.upto
           ) as "found!""#,
        &chats,
        &users,
        &upto,
    );
    Ok(found.fetch_one(db.read()).await?)
}

/// Somebody who got further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub chat: ChatId,
    pub user: UserId,
    pub from: Seq,
    pub upto: Seq,
}

/// Move the positions of all who are members and got further. Rows are held in the order of chats and people, whoever asks.
pub(super) async fn advance_delivered(tx: &mut Tx, reached: &[Reached]) -> Result<Vec<Moved>> {
    let (chats, users, upto) = columns(reached);
    let moved = sqlx::query_as!(
        Moved,
        r#"with reached as (
               select chat_id, user_id, max(upto) as upto
               from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as reached (chat_id, user_id, upto)
               group by chat_id, user_id
           ), held as (
               select p.id, p.delivered_seq, reached.upto
               from participants p
               join reached on reached.chat_id = p.chat_id and reached.user_id = p.user_id
               where p.left_at is null and p.delivered_seq < reached.upto
               order by p.chat_id, p.user_id
               for no key update of p
           )
           update participants p set delivered_seq = held.upto
           from held where p.id = held.id
           returning p.chat_id as chat, p.user_id as "user", held.delivered_seq as "from", held.upto as "upto!""#,
        &chats,
        &users,
        &upto,
    );
    Ok(moved.fetch_all(tx.conn()).await?)
}

/// Nobody else tells these people anything until the end of the transaction.
pub(super) async fn hold_topics(tx: &mut Tx, users: &[UserId]) -> Result<()> {
    let users: Vec<Uuid> = users.iter().map(|user| user.0).collect();
    sqlx::query!(
        "select id from topics where id = any($1) order by id for no key update",
        &users
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(())
}

fn columns(reached: &[Reached]) -> (Vec<Uuid>, Vec<Uuid>, Vec<Seq>) {
    let chats = reached.iter().map(|reached| reached.chat.0).collect();
    let users = reached.iter().map(|reached| reached.user.0).collect();
    (chats, users, reached.iter().map(|reached| reached.upto).collect())
}
