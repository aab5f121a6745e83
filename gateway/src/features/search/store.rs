use shared::account::{PeopleFound, PersonFound, Status};

use crate::{
    db::Db,
    error::Result,
    features::{Caller, Settings, accounts::UserRow},
};

/// Counting stops here: nobody pages through more, and a short pattern would count everybody.
const COUNTED_UP_TO: i64 = 1_000;

pub(super) async fn people(
    db: &Db,
    settings: &Settings,
    caller: &Caller,
    pattern: &str,
    limit: i64,
) -> Result<PeopleFound> {
    let rows = sqlx::query!(
        r#"select u.id, u.username, u.display_name, u.avatar_key, u.chosen_status as "chosen_status: Status",
                  u.last_seen, u.created_at, u.updated_at,
                  coalesce(c.status = 'accepted', false) as "is_contact!",
                  coalesce(c.status = 'pending', false) as "has_pending_request!"
           from users u
           left join contacts c on c.first_id = least(u.id, $1) and c.second_id = greatest(u.id, $1)
           where lower(u.username) like $2 and u.id <> $1
           order by lower(u.username) collate "C", u.username
           limit $3"#,
        caller.user.0,
        pattern,
        limit,
    )
    .fetch_all(db.read())
    .await?;
    let mut total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if total == limit {
        total = sqlx::query_scalar!(
            r#"select count(*) as "count!" from
               (select from users u where lower(u.username) like $2 and u.id <> $1 limit $3) found"#,
            caller.user.0,
            pattern,
            COUNTED_UP_TO,
        )
        .fetch_one(db.read())
        .await?;
    }
    let users = rows.into_iter().map(|row| {
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
    Ok(PeopleFound {
        users: users.collect(),
        total,
    })
}
