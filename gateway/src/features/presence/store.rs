use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use redis::{FromRedisValue, Pipeline, Script, ScriptInvocation, aio::ConnectionManager};
use shared::{UserId, account::Status};
use uuid::Uuid;

use crate::{
    db::Db,
    error::{Error, Result},
};

/// How long a replica counts as living after it said so.
const LEASE: Duration = Duration::from_secs(10);
/// People taken out of a dead replica in one go.
const AT_ONCE: usize = 200;

/// What Redis knows of who is where.
///
/// `replicas`: a sorted set of living replicas and when their leases end. `replica:<name>`: the people on one. `here:<user>`: the
/// replicas that a person is on; somebody without such a key is not there.
pub(super) struct Leases {
    redis: ConnectionManager,
    prefix: String,
    replica: String,
    timeout: Duration,
    arrive: Script,
    leave: Script,
    sweep: Script,
    /// Something could not be noted.
    is_unsure: AtomicBool,
}

const ARRIVE: &str = r"
local before = redis.call('SCARD', KEYS[1])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
return before
";

const LEAVE: &str = r"
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('SREM', KEYS[2], ARGV[2])
-- Also if Redis had forgotten them: telling twice is harmless.
if redis.call('SCARD', KEYS[1]) == 0 then return 1 end
return 0
";

// The people of one dead replica, some at a time: whoever asks first gets them. Those who are nowhere now, those who are elsewhere, and
// for how long nothing was heard of the replica.
const SWEEP: &str = r"
local now = tonumber(redis.call('TIME')[1])
local dead, ends = unpack(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now, 'WITHSCORES', 'LIMIT', 0, 1))
if not dead then return {1, 0, {}, {}} end
local people = redis.call('SPOP', ARGV[1] .. ':replica:' .. dead, ARGV[2])
local gone, elsewhere = {}, {}
for _, user in ipairs(people) do
  local here = ARGV[1] .. ':here:' .. user
  redis.call('SREM', here, dead)
  if redis.call('SCARD', here) == 0 then table.insert(gone, user) else table.insert(elsewhere, user) end
end
if #people == 0 then redis.call('ZREM', KEYS[1], dead) end
return {0, now - tonumber(ends), gone, elsewhere}
";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    Kept,
    /// Redis had forgotten us, or may not know everything.
    Anew,
}

#[derive(Debug, Default)]
pub(super) struct Swept {
    pub gone: Vec<UserId>,
    pub elsewhere: Vec<UserId>,
    /// How long ago the replica said for the last time that it lives.
    pub silent_for: TimeDelta,
    pub is_done: bool,
}

impl Leases {
    pub(super) fn new(redis: ConnectionManager, prefix: &str, replica: Uuid, timeout: Duration) -> Self {
        Self {
            redis,
            prefix: format!("{prefix}:presence"),
            replica: replica.to_string(),
            timeout,
            arrive: Script::new(ARRIVE),
            leave: Script::new(LEAVE),
            sweep: Script::new(SWEEP),
            is_unsure: AtomicBool::new(true),
        }
    }

    /// Says whether they were nowhere before.
    pub(super) async fn arrive(&self, user: UserId) -> Result<bool> {
        let mut script = self.arrive.prepare_invoke();
        let script = script
            .key(self.here_key(user))
            .key(self.replica_key())
            .arg(&self.replica)
            .arg(user.to_string());
        let before: i64 = self.run(script).await?;
        Ok(before == 0)
    }

    /// Says whether they are nowhere now.
    pub(super) async fn leave(&self, user: UserId) -> Result<bool> {
        let mut script = self.leave.prepare_invoke();
        let script = script
            .key(self.here_key(user))
            .key(self.replica_key())
            .arg(&self.replica)
            .arg(user.to_string());
        let is_gone: i64 = self.run(script).await?;
        Ok(is_gone == 1)
    }

    pub(super) async fn renew(&self) -> Result<Renewed> {
        let mut ask = Pipeline::new();
        ask.cmd("TIME");
        let (now,): ((i64, i64),) = self.ask(&ask).await?;
        let mut renew = Pipeline::new();
        renew.zadd(
            format!("{}:replicas", self.prefix),
            &self.replica,
            now.0 + LEASE.as_secs() as i64,
        );
        let (is_new,): (i64,) = self.ask(&renew).await?;
        let was_unsure = self.is_unsure.swap(false, Ordering::Relaxed);
        Ok(if is_new == 1 || was_unsure {
            Renewed::Anew
        } else {
            Renewed::Kept
        })
    }

    /// Who is here, as Redis knows it.
    pub(super) async fn known(&self) -> Result<Vec<UserId>> {
        let mut ask = Pipeline::new();
        ask.smembers(self.replica_key());
        let (known,): (Vec<String>,) = self.ask(&ask).await?;
        Ok(known.iter().filter_map(|user| user.parse().ok()).collect())
    }

    pub(super) async fn sweep(&self) -> Result<Swept> {
        let mut script = self.sweep.prepare_invoke();
        let script = script
            .key(format!("{}:replicas", self.prefix))
            .arg(&self.prefix)
            .arg(AT_ONCE);
        let (is_done, overdue, gone, elsewhere): (u8, i64, Vec<String>, Vec<String>) =
            self.run(script).await?;
        let people = |names: Vec<String>| names.iter().filter_map(|user| user.parse().ok()).collect();
        Ok(Swept {
            gone: people(gone),
            elsewhere: people(elsewhere),
            silent_for: TimeDelta::seconds(overdue + LEASE.as_secs() as i64),
            is_done: is_done == 1,
        })
    }

    pub(super) async fn here(&self, people: &[UserId]) -> Result<Vec<UserId>> {
        if self.is_unsure.load(Ordering::Relaxed) {
            // Redis did not answer lately: nobody should wait for it again.
            return Err(Error::unavailable("Redis was away a moment ago"));
        }
        let mut ask = Pipeline::with_capacity(people.len());
        for user in people {
            ask.exists(self.here_key(*user));
        }
        let found: Vec<bool> = self.ask(&ask).await?;
        let here = people.iter().zip(found).filter(|(_, found)| *found);
        Ok(here.map(|(user, _)| *user).collect())
    }

    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        let mut redis = self.redis.clone();
        self.in_time(script.invoke_async(&mut redis)).await
    }

    async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T> {
        let mut redis = self.redis.clone();
        self.in_time(pipeline.query_async(&mut redis)).await
    }

    async fn in_time<T>(&self, answer: impl Future<Output = redis::RedisResult<T>>) -> Result<T> {
        let answer = match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map_err(Error::unavailable),
            Err(late) => Err(Error::unavailable(late)),
        };
        if answer.is_err() {
            self.is_unsure.store(true, Ordering::Relaxed);
        }
        answer
    }

    fn here_key(&self, user: UserId) -> String {
        format!("{}:here:{user}", self.prefix)
    }

    fn replica_key(&self) -> String {
        format!("{}:replica:{}", self.prefix, self.replica)
    }
}

/// What decides how somebody is shown.
#[derive(Debug)]
pub(super) struct Chosen {
    pub status: Option<Status>,
    pub last_seen: Option<DateTime<Utc>>,
}

pub(super) async fn chosen(db: &Db, user: UserId) -> Result<Option<Chosen>> {
    let chosen = sqlx::query_as!(
        Chosen,
        r#"select chosen_status as "status: Status", last_seen from users where id = $1"#,
        user.0
    );
    Ok(chosen.fetch_optional(db.read()).await?)
}

pub(super) async fn note_last_seen(db: &Db, user: UserId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update users set last_seen = $2
         where id = $1 and (last_seen is null or last_seen < $2)",
        user.0,
        now
    )
    .execute(db.read())
    .await?;
    Ok(())
}

/// A sign of life, noted now and then.
pub(super) async fn note_sign_of_life(db: &Db, user: UserId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update users set last_seen = $2
         where id = $1 and (last_seen is null or last_seen < $2::timestamptz - interval '10 seconds')",
        user.0,
        now
    )
    .execute(db.read())
    .await?;
    Ok(())
}

/// Name of somebody who writes, as long as they may write there.
pub(super) async fn typist(db: &Db, user: UserId, chat: shared::ChatId) -> Result<Option<(String, String)>> {
    let row = sqlx::query!(
        r#"select u.username as "username: String", u.display_name
           from participants p join users u on u.id = p.user_id join chats c on c.id = p.chat_id
           where p.chat_id = $1 and p.user_id = $2 and p.left_at is null and c.deleted_at is null
             and (c.type = 'group'
                  or exists (select from contacts k
                             where k.first_id = c.first_id and k.second_id = c.second_id and k.status = 'accepted')
                     and not exists (select from blocks b where (b.blocker_id, b.blocked_id) in
                                       ((c.first_id, c.second_id), (c.second_id, c.first_id))))"#,
        chat.0,
        user.0,
    );
    let row = row.fetch_optional(db.read()).await?;
    Ok(row.map(|row| (row.username, row.display_name)))
}
