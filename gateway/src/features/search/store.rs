use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared::{
    ChatId, MessageId, UserId,
    account::{PersonFound, Status},
    search::HitCursor,
    text::Username,
};
use uuid::Uuid;

use super::rules::{self, Line, Question, Segment};
use crate::{
    db::{Db, Tx},
    error::Result,
    features::{Caller, Settings, accounts::UserRow},
};

/// Counting stops here: nobody pages through more, and a short part would count everybody.
const COUNTED_UP_TO: i64 = 1_000;

/// The user names with this part in them, sorted, without the caller's.
///
/// The index of trigrams finds them if the part has some. If not, it would go through all that it has: the sorted index is walked
/// instead, until there are enough. That is two queries in one, so that no plan for the one is ever used for the other.
pub(super) async fn names(db: &Db, caller: &Caller, part: &str, has_trigrams: bool) -> Result<Vec<Username>> {
    let names = sqlx::query_scalar!(
        r#"with found as materialized (
               select username from users where $2 and lower(username) like '%' || $3 || '%'
           ), own as (
               select username from users where id = $1
           )
           select username as "username!: Username" from (
               (select username from found where username <> (select username from own)
                order by lower(username) collate "C", username limit $5)
               union all
               (select username from users
                where not $2 and strpos(lower(username), $4) > 0 and username <> (select username from own)
                order by lower(username) collate "C", username limit $5)
           ) names
           order by lower(username) collate "C", username"#,
        caller.user.0,
        has_trigrams,
        rules::literally(part),
        part,
        COUNTED_UP_TO,
    );
    Ok(names.fetch_all(db.read()).await?)
}

/// The people with these names, in this order.
pub(super) async fn people(
    db: &Db,
    settings: &Settings,
    caller: &Caller,
    names: &[Username],
) -> Result<Vec<PersonFound>> {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let rows = sqlx::query!(
        r#"select u.id, u.username, u.display_name, u.avatar_key, u.chosen_status as "chosen_status: Status",
                  u.last_seen, u.created_at, u.updated_at,
                  coalesce(c.status = 'accepted', false) as "is_contact!",
                  coalesce(c.status = 'pending', false) as "has_pending_request!"
           from unnest($2::text[]) with ordinality as found (username, position)
           join users u on u.username = found.username
           left join contacts c on c.first_id = least(u.id, $1) and c.second_id = greatest(u.id, $1)
           order by found.position"#,
        caller.user.0,
        &names,
    )
    .fetch_all(db.read())
    .await?;
    let people = rows.into_iter().map(|row| {
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
        PersonFound {
            user: user.shown(settings),
            is_contact: row.is_contact,
            has_pending_request: row.has_pending_request,
        }
    });
    Ok(people.collect())
}

/// Let all that follows see the same: messages must not be condensed between two looks at them, and so be seen by neither.
pub(super) async fn at_one_moment(tx: &mut Tx) -> Result<()> {
    sqlx::query!("set transaction isolation level repeatable read read only")
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The stems of the words in a text, without those that are in every text.
pub(super) async fn stems(tx: &mut Tx, text: &str) -> Result<Vec<String>> {
    let stems = sqlx::query_scalar!(
        r#"select tsvector_to_array(to_tsvector('english', $1)) as "stems!""#,
        text
    );
    Ok(stems.fetch_one(tx.conn()).await?)
}

/// Where somebody looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub user: UserId,
    pub chat: Option<ChatId>,
    pub before: Option<HitCursor>,
}

/// Messages of one chat that follow each other: a segment, or what has not been condensed yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub chat: ChatId,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    /// Whether the text that was asked for may be in it.
    pub text: bool,
    /// Whether the words may be in it.
    pub words: bool,
}

/// Stretches that may hold what is looked for.
#[derive(Debug)]
pub(super) struct Stretches {
    /// Those with the newest messages first.
    pub promising: Vec<Stretch>,
    /// Whatever ends at this time or later was considered, and nothing that ends before; without a time, everything was.
    pub considered_to: Option<DateTime<Utc>>,
}

/// The stretches of the chats that somebody is in which may hold what is looked for. At most so many of the newest segments of each
/// chat are considered, and only what ends before a time; what ends before something that was not considered is left for later.
pub(super) async fn stretches(
    tx: &mut Tx,
    scope: Scope,
    question: &Question,
    newest: Option<i64>,
    ending_before: Option<DateTime<Utc>>,
) -> Result<Stretches> {
    // `offset 0` and `materialized` are fences: each chat's segments are found by their index, however many chats there are.
    let rows = sqlx::query!(
        r#"with own as materialized (
               -- Nothing in a chat is newer than its last event.
               select c.id, coalesce(t.last_at, '9999-12-31') as last_at
               from (select chat_id from participants
                     where user_id = $1 and left_at is null and ($2::uuid is null or chat_id = $2) offset 0) p
               join chats c on c.id = p.chat_id left join topics t on t.id = c.id
               where c.deleted_at is null
           ), asked as materialized (
               select $4::text::bit(8192) as grams, $5::text::bit(4096) as stems, $7::text::bit(8192) as roots
           ), considered as materialized (
               select own.id, s.* from asked cross join own cross join lateral (
                   select s.first_at, s.last_at,
                          s.text is null or s.grams & asked.grams = asked.grams as text,
                          $6 and (s.text is null or (s.stems & asked.stems = asked.stems
                                                     and s.grams & asked.roots = asked.roots)) as words
                   from search_segments s
                   where s.chat_id = own.id and s.first_at <= coalesce(least($3::timestamptz, $9::timestamptz), '9999-12-31')
                     and ($9::timestamptz is null or s.last_at < $9)
                   order by s.first_at desc limit $8
               ) s
           ), oldest as (
               select max(first_at) as first_at from (
                   select min(first_at) as first_at from considered group by id having count(*) = $8
               ) by_chat
           )
           select oldest.first_at as considered_to, found.id as "chat?: ChatId", found.first_at as "first_at?",
                  found.last_at as "last_at?", found.text as "text?", found.words as "words?"
           from oldest left join (
               select * from considered where text or words
               union all
               select own.id, fresh.first_at, own.last_at, true, $6
               from own cross join lateral (
                   select coalesce((select s.last_at + interval '1 microsecond' from search_segments s
                                    where s.chat_id = own.id order by s.first_at desc limit 1), '0001-01-01') as first_at
                   offset 0
               ) fresh
               where ($9::timestamptz is null or own.last_at < $9)
                 and own.last_at >= fresh.first_at
                 and ($3::timestamptz is null or fresh.first_at <= $3)
           ) found on oldest.first_at is null or found.last_at >= oldest.first_at
           order by found.last_at desc"#,
        scope.user.0,
        scope.chat.map(|chat| chat.0),
        scope.before.map(|before| before.at),
        question.grams.bits(),
        question.stems.bits(),
        question.by_words,
        question.root_grams.bits(),
        newest,
        ending_before,
    );
    // If there are none, a row still says what was considered.
    let rows = rows.fetch_all(tx.conn()).await?;
    let considered_to = rows.first().and_then(|row| row.considered_to);
    let promising = rows.into_iter().filter_map(|row| {
        Some(Stretch {
            chat: row.chat?,
            first_at: row.first_at?,
            last_at: row.last_at?,
            text: row.text?,
            words: row.words?,
        })
    });
    Ok(Stretches {
        promising: promising.collect(),
        considered_to,
    })
}

/// A message that was found, and when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub id: MessageId,
    pub at: DateTime<Utc>,
}

/// The newest hits in these stretches. Segments know whether there is one; then, and in what has not been condensed, every message
/// is asked.
pub(super) async fn hits(
    tx: &mut Tx,
    stretches: &[Stretch],
    before: Option<HitCursor>,
    question: &Question,
    limit: usize,
) -> Result<Vec<Hit>> {
    let chats: Vec<Uuid> = stretches.iter().map(|stretch| stretch.chat.0).collect();
    let first: Vec<DateTime<Utc>> = stretches.iter().map(|stretch| stretch.first_at).collect();
    let last: Vec<DateTime<Utc>> = stretches.iter().map(|stretch| stretch.last_at).collect();
    let text: Vec<bool> = stretches.iter().map(|stretch| stretch.text).collect();
    let words: Vec<bool> = stretches.iter().map(|stretch| stretch.words).collect();
    let before_at = before.map(|before| before.at);
    let before_id = before.map(|before| before.id.map_or(Uuid::nil(), |id| id.0));
    // The lateral queries are fenced by `limit`: they must run stretch by stretch, by their indexes, however many there are.
    let hits = sqlx::query_as!(
        Hit,
        r#"select m.id as "id!", m.created_at as "at!"
           from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::boolean[], $5::boolean[])
               as stretch (chat_id, first_at, last_at, text, words)
           cross join lateral (
               select m.id, m.created_at from messages m
               where m.chat_id = stretch.chat_id and m.created_at >= stretch.first_at
                 and m.created_at <= least(stretch.last_at, $10) and ($10::timestamptz is null or (m.created_at, m.id) < ($10, $11))
                 and m.deleted_at is null
                 and (strpos(m.search_text, $6) > 0
                      or (stretch.words and strpos(m.search_text, $12) > 0
                          and (cardinality($7::text[]) = 0
                               or not exists (select from unnest($7::text[]) root where strpos(m.search_text, root) = 0))
                          and to_tsvector('english', m.search_text) @@ (select plainto_tsquery('english', $6))))
               order by m.created_at desc limit $9
           ) m
           where coalesce((
               select s.text is null or (stretch.text and strpos(s.text, $6) > 0)
                      or (stretch.words and s.words @@ (select $8::text::tsquery))
               from search_segments s where s.chat_id = stretch.chat_id and s.first_at = stretch.first_at
           ), true)
           order by m.created_at desc, m.id desc limit $9"#,
        &chats,
        &first,
        &last,
        &text,
        &words,
        question.literal,
        &question.other_roots,
        question.words,
        i64::try_from(limit).unwrap_or(i64::MAX),
        before_at,
        before_id,
        question.root,
    );
    Ok(hits.fetch_all(tx.conn()).await?)
}

/// What the groups among these chats are called.
pub(super) async fn chat_names(
    tx: &mut Tx,
    chats: impl Iterator<Item = ChatId>,
) -> Result<HashMap<ChatId, String>> {
    let chats: Vec<Uuid> = chats.map(|chat| chat.0).collect();
    let named = sqlx::query!(
        r#"select id, name as "name!" from chats where id = any($1) and name is not null"#,
        &chats
    );
    let named = named.fetch_all(tx.conn()).await?;
    Ok(named.into_iter().map(|chat| (chat.id, chat.name)).collect())
}

/// Some of the chats with messages to condense.
pub(super) async fn due(db: &Db, limit: usize) -> Result<Vec<ChatId>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due = sqlx::query_scalar!("select chat_id from search_due limit $1", limit);
    Ok(due.fetch_all(db.read()).await?)
}

/// Whether no other replica is at it.
pub(super) async fn may_condense(tx: &mut Tx) -> Result<bool> {
    let mine = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('chore: condense messages', 0)) as "mine!""#
    );
    Ok(mine.fetch_one(tx.conn()).await?)
}

/// Let nothing that was said in a chat be changed until the end of the transaction. New things may be said.
pub(super) async fn hold_still(tx: &mut Tx, chat: ChatId) -> Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('search: ' || $1::text, 0))",
        chat.to_string(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A segment in which something changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stale {
    chat_id: ChatId,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
}

pub(super) async fn stale(tx: &mut Tx, chat: ChatId) -> Result<Option<Stale>> {
    let stale = sqlx::query_as!(
        Stale,
        "select chat_id, first_at, last_at from search_segments where chat_id = $1 and text is null limit 1",
        chat.0
    );
    Ok(stale.fetch_optional(tx.conn()).await?)
}

pub(super) async fn lines_of(tx: &mut Tx, stale: Stale) -> Result<Vec<Line>> {
    let lines = sqlx::query_as!(
        Line,
        r#"select created_at as at, search_text as text,
                  tsvector_to_array(to_tsvector('english', search_text)) as "stems!"
           from messages where chat_id = $1 and created_at between $2 and $3 order by created_at"#,
        stale.chat_id.0,
        stale.first_at,
        stale.last_at,
    );
    Ok(lines.fetch_all(tx.conn()).await?)
}

/// Messages that have not been condensed, the oldest first.
pub(super) async fn next_lines(tx: &mut Tx, chat: ChatId, limit: usize) -> Result<Vec<Line>> {
    let lines = sqlx::query_as!(
        Line,
        r#"select created_at as at, search_text as text,
                  tsvector_to_array(to_tsvector('english', search_text)) as "stems!"
           from messages
           where chat_id = $1 and created_at > coalesce(
               (select last_at from search_segments where chat_id = $1 order by first_at desc limit 1), '0001-01-01')
           order by created_at limit $2"#,
        chat.0,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    Ok(lines.fetch_all(tx.conn()).await?)
}

pub(super) async fn add(tx: &mut Tx, chat: ChatId, lines: &[Line], segment: &Segment) -> Result<()> {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return Ok(());
    };
    sqlx::query!(
        "insert into search_segments (chat_id, first_at, last_at, grams, stems, text, words)
         values ($1, $2, $3, $4::text::bit(8192), $5::text::bit(4096), $6, $7::text::tsvector)",
        chat.0,
        first.at,
        last.at,
        segment.grams.bits(),
        segment.stems.bits(),
        segment.text,
        segment.words,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn replace(tx: &mut Tx, stale: Stale, segment: &Segment) -> Result<()> {
    sqlx::query!(
        "update search_segments
         set grams = $3::text::bit(8192), stems = $4::text::bit(4096), text = $5, words = $6::text::tsvector
         where chat_id = $1 and first_at = $2",
        stale.chat_id.0,
        stale.first_at,
        segment.grams.bits(),
        segment.stems.bits(),
        segment.text,
        segment.words,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn not_due(tx: &mut Tx, chat: ChatId) -> Result<()> {
    sqlx::query!("delete from search_due where chat_id = $1", chat.0)
        .execute(tx.conn())
        .await?;
    Ok(())
}
