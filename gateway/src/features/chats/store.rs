use std::collections::HashMap;

use chrono::{DateTime, Utc};
use shared::{
    ChatId, MessageId, ParticipantId, UserId,
    chat::{Chat, ChatCursor, ChatType, Participant, Role},
    text::GroupName,
    topic::Seq,
};
use uuid::Uuid;

use crate::{
    db::Tx,
    error::Result,
    features::{Settings, accounts, messages},
};

/// Somebody's place in a chat.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub kind: ChatType,
    /// The other one, in a direct chat.
    pub partner: Option<UserId>,
    /// Whether they are in it now, rather than once.
    pub is_member: bool,
}

/// The place of `user` in a chat that they are or were in, as of now. Nobody is locked: what somebody does in a chat is checked
/// again behind the chat's lock (`next_place`), and receipts may move meanwhile.
pub(super) async fn place_of(tx: &mut Tx, user: UserId, chat: ChatId) -> Result<Option<Place>> {
    let place = sqlx::query!(
        r#"select c.type as "kind: ChatType", c.first_id as "first_id?", c.second_id as "second_id?",
                  (p.left_at is null and c.deleted_at is null) as "is_member!"
           from participants p join chats c on c.id = p.chat_id
           where p.chat_id = $1 and p.user_id = $2"#,
        chat.0,
        user.0,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(place.map(|place| Place {
        kind: place.kind,
        partner: [place.first_id, place.second_id]
            .into_iter()
            .flatten()
            .find(|id| *id != user),
        is_member: place.is_member,
    }))
}

pub async fn note_message(tx: &mut Tx, chat: ChatId, at: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update chats set last_message_at = $2 where id = $1", chat.0, at)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The direct chat of two people, and whether it is new.
pub(super) async fn ensure_direct(
    tx: &mut Tx,
    a: UserId,
    b: UserId,
    now: DateTime<Utc>,
) -> Result<(ChatId, bool)> {
    let (first, second) = (a.min(b), a.max(b));
    let id = ChatId::new();
    let added = sqlx::query!(
        "insert into chats (id, type, first_id, second_id, created_at, updated_at) values ($1, 'direct', $2, $3, $4, $4)
         on conflict on constraint chats_pair do nothing",
        id.0,
        first.0,
        second.0,
        now,
    );
    if added.execute(tx.conn()).await?.rows_affected() == 1 {
        add_participants(tx, id, &[(first, Role::Member), (second, Role::Member)], now).await?;
        return Ok((id, true));
    }
    let existing = sqlx::query_scalar!(
        "select id from chats where first_id = $1 and second_id = $2",
        first.0,
        second.0
    );
    Ok((existing.fetch_one(tx.conn()).await?, false))
}

pub(super) async fn direct(tx: &mut Tx, a: UserId, b: UserId) -> Result<Option<ChatId>> {
    let found = sqlx::query_scalar!(
        "select id from chats where first_id = $1 and second_id = $2",
        a.min(b).0,
        a.max(b).0
    );
    Ok(found.fetch_optional(tx.conn()).await?)
}

pub(super) async fn add_group(
    tx: &mut Tx,
    id: ChatId,
    owner: UserId,
    name: &GroupName,
    slug: &str,
    members: &[UserId],
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into chats (id, type, name, slug, owner_id, created_at, updated_at) values ($1, 'group', $2, $3, $4, $5, $5)",
        id.0,
        &**name,
        slug,
        owner.0,
        now,
    )
    .execute(tx.conn())
    .await?;
    let owner = std::iter::once((owner, Role::Owner));
    let everybody: Vec<_> = owner
        .chain(members.iter().map(|member| (*member, Role::Member)))
        .collect();
    add_participants(tx, id, &everybody, now).await
}

async fn add_participants(
    tx: &mut Tx,
    chat: ChatId,
    who: &[(UserId, Role)],
    now: DateTime<Utc>,
) -> Result<()> {
    let ids: Vec<Uuid> = who.iter().map(|_| ParticipantId::new().0).collect();
    let users: Vec<Uuid> = who.iter().map(|(user, _)| user.0).collect();
    let roles: Vec<Role> = who.iter().map(|(_, role)| *role).collect();
    sqlx::query!(
        "insert into participants (id, chat_id, user_id, role, joined_at)
         select new.id, $1, new.user_id, new.role, $5
         from unnest($2::uuid[], $3::uuid[], $4::text[]) as new (id, user_id, role)",
        chat.0,
        &ids,
        &users,
        &roles as &[Role],
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whoever changes who is in a group, or what they may do there, takes turns: members are counted, owners followed by others, as
/// if nobody else were at it. The row of the chat would not do: whoever sends a message changes it behind the chat's place, and
/// here it would be held before.
pub(super) async fn take_turn(tx: &mut Tx, chat: ChatId) -> Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('members: ' || $1::text, 0))",
        chat.to_string()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Somebody who is or was in a chat.
pub(super) struct Known {
    pub user: UserId,
    pub role: Role,
    pub joined_at: DateTime<Utc>,
    pub is_member: bool,
}

/// Everybody who is or was in a chat, in no order, and of what kind it is.
pub(super) async fn everybody(tx: &mut Tx, chat: ChatId) -> Result<Vec<(ChatType, Known)>> {
    let rows = sqlx::query!(
        r#"select c.type as "kind: ChatType", p.user_id, p.role as "role: Role", p.joined_at,
                  (p.left_at is null and c.deleted_at is null) as "is_member!"
           from participants p join chats c on c.id = p.chat_id
           where p.chat_id = $1"#,
        chat.0,
    )
    .fetch_all(tx.conn())
    .await?;
    let everybody = rows.into_iter().map(|row| {
        let known = Known {
            user: row.user_id,
            role: row.role,
            joined_at: row.joined_at,
            is_member: row.is_member,
        };
        (row.kind, known)
    });
    Ok(everybody.collect())
}

/// Hold the places of these people before the chat's place is taken, so that nobody waits for us the other way round: what they
/// send now is sent before.
pub(super) async fn hold(tx: &mut Tx, chat: ChatId, users: &[UserId]) -> Result<()> {
    let users: Vec<Uuid> = users.iter().map(|user| user.0).collect();
    sqlx::query!(
        "select id from participants where chat_id = $1 and user_id = any($2) order by user_id for no key update",
        chat.0,
        &users,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(())
}

/// Put people into a chat, again or for the first time. What was told up to `upto` is old for them: they may read it, but it is
/// neither sent to them nor unread.
pub(super) async fn join(
    tx: &mut Tx,
    chat: ChatId,
    users: &[UserId],
    role: Role,
    upto: Seq,
    at: DateTime<Utc>,
) -> Result<()> {
    let ids: Vec<Uuid> = users.iter().map(|_| ParticipantId::new().0).collect();
    let users: Vec<Uuid> = users.iter().map(|user| user.0).collect();
    sqlx::query!(
        "insert into participants (id, chat_id, user_id, role, joined_at, joined_seq, delivered_seq, read_seq)
         select new.id, $1, new.user_id, $4, $6, $5, $5, $5
         from unnest($2::uuid[], $3::uuid[]) as new (id, user_id)
         on conflict on constraint participants_once do update
         set role = excluded.role, joined_at = excluded.joined_at, left_at = null, joined_seq = excluded.joined_seq,
             delivered_seq = excluded.delivered_seq, read_seq = excluded.read_seq",
        chat.0,
        &ids,
        &users,
        role as Role,
        upto,
        at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Take people out of a chat. Whatever they were there, they are no more.
pub(super) async fn leave(tx: &mut Tx, chat: ChatId, users: &[UserId], at: DateTime<Utc>) -> Result<()> {
    let users: Vec<Uuid> = users.iter().map(|user| user.0).collect();
    sqlx::query!(
        "update participants set left_at = $3, role = 'member' where chat_id = $1 and user_id = any($2)",
        chat.0,
        &users,
        at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn pass_ownership(tx: &mut Tx, chat: ChatId, heir: UserId) -> Result<()> {
    sqlx::query!(
        "with heir as (update participants set role = 'owner' where chat_id = $1 and user_id = $2)
         update chats set owner_id = $2 where id = $1",
        chat.0,
        heir.0,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn rename(tx: &mut Tx, chat: ChatId, name: &GroupName, at: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update chats set name = $2, updated_at = $3 where id = $1",
        chat.0,
        &**name,
        at
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn set_picture(tx: &mut Tx, chat: ChatId, key: &str, at: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update chats set avatar_key = $2, updated_at = $3 where id = $1",
        chat.0,
        key,
        at
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The chat is gone for everybody. Its messages stay, unseen.
pub(super) async fn delete(tx: &mut Tx, chat: ChatId, at: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update chats set deleted_at = $2 where id = $1", chat.0, at)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Which people these ids stand for: each is a person, or a direct chat of `owner`'s with one. Unknown ids are left out.
pub(super) async fn people_behind(tx: &mut Tx, owner: UserId, ids: &[Uuid]) -> Result<Vec<(Uuid, UserId)>> {
    let rows = sqlx::query!(
        r#"select u.id as "given!", u.id as "user_id!: UserId" from users u where u.id = any($1)
           union all
           select c.id, case when c.first_id = $2 then c.second_id else c.first_id end
           from chats c where c.id = any($1) and $2 in (c.first_id, c.second_id)"#,
        ids,
        owner.0,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.given, row.user_id)).collect())
}

pub(super) async fn id_of_slug(tx: &mut Tx, slug: &str) -> Result<Option<ChatId>> {
    let id = sqlx::query_scalar!("select id from chats where slug = $1", slug);
    Ok(id.fetch_optional(tx.conn()).await?)
}

/// A page of the chats that `user` is in.
pub(super) async fn page(
    tx: &mut Tx,
    user: UserId,
    before: Option<ChatCursor>,
    limit: i64,
) -> Result<Vec<ChatId>> {
    let ids = sqlx::query_scalar!(
        "select c.id from participants p join chats c on c.id = p.chat_id
         where p.user_id = $1 and p.left_at is null and c.deleted_at is null
           and ($2::timestamptz is null or (coalesce(c.last_message_at, c.created_at), c.id) < ($2, $3))
         order by coalesce(c.last_message_at, c.created_at) desc, c.id desc
         limit $4",
        user.0,
        before.map(|cursor| cursor.at),
        before.map(|cursor| cursor.id.0),
        limit,
    );
    Ok(ids.fetch_all(tx.conn()).await?)
}

/// These chats as `viewer`, who is in all of them, sees them; in the order of the ids.
pub(super) async fn chats(
    tx: &mut Tx,
    settings: &Settings,
    viewer: UserId,
    ids: &[ChatId],
) -> Result<Vec<Chat>> {
    let uuids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select c.id, c.type as "kind: ChatType", c.name, c.slug, c.avatar_key, c.owner_id as "owner_id?", c.last_message_at,
                  c.created_at, c.updated_at,
                  (select count(*) from messages m
                   where m.chat_id = c.id and m.seq > p.read_seq and m.sender_id <> $2
                     and m.deleted_at is null) as "unread!",
                  (select m.id from messages m where m.chat_id = c.id order by m.created_at desc limit 1)
                    as "last_message_id: MessageId",
                  coalesce((select t.last_seq from topics t where t.id = c.id), 0) as "position!"
           from chats c join participants p on p.chat_id = c.id and p.user_id = $2
           where c.id = any($1)"#,
        &uuids,
        viewer.0,
    )
    .fetch_all(tx.conn())
    .await?;
    let members = sqlx::query!(
        r#"select id, chat_id, user_id, role as "role: Role", joined_at from participants
           where chat_id = any($1) and left_at is null
           order by user_id <> $2, joined_at, id"#,
        &uuids,
        viewer.0,
    )
    .fetch_all(tx.conn())
    .await?;
    let last: Vec<MessageId> = rows.iter().filter_map(|row| row.last_message_id).collect();
    let last = messages::messages(tx, settings, &last).await?;
    let mut last: HashMap<ChatId, _> = last
        .into_iter()
        .map(|message| (message.chat_id, message))
        .collect();
    let users: Vec<UserId> = members.iter().map(|member| member.user_id).collect();
    let people = accounts::people(tx, settings, &users).await?;
    let participants_of = |chat: ChatId| {
        let of_chat = members.iter().filter(move |member| member.chat_id == chat);
        let participants = of_chat.filter_map(|member| {
            let user = people.get(&member.user_id)?.clone().into();
            Some(Participant {
                id: member.id,
                user_id: member.user_id,
                role: member.role,
                joined_at: member.joined_at,
                user,
            })
        });
        participants.collect::<Vec<_>>()
    };
    let mut chats: Vec<Chat> = rows
        .into_iter()
        .map(|row| {
            let participants = participants_of(row.id);
            Chat {
                id: row.id,
                kind: row.kind,
                name: row.name,
                slug: row.slug,
                avatar_url: row.avatar_key.map(|key| settings.image_url(&key)),
                owner_id: row.owner_id,
                participant_count: participants.len(),
                participants,
                unread_count: row.unread,
                last_message_at: row.last_message_at,
                last_message: last.remove(&row.id),
                position: row.position,
                created_at: row.created_at,
                updated_at: row.updated_at,
            }
        })
        .collect();
    chats.sort_by_key(|chat| ids.iter().position(|id| *id == chat.id));
    Ok(chats)
}
