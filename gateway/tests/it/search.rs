//! Finding people and messages.

use std::time::Duration;

use gateway::config::Switch;
use serde_json::{Value, json};
use tools::client::{Answer, rest::LoggedIn};
use uuid::Uuid;

use crate::cluster::Cluster;

#[tokio::test]
async fn people_are_found_by_a_part_of_their_name_in_any_case() {
    let cluster = Cluster::start().await;
    let rest = cluster.rest(0);
    let me = rest.register("searcher_an").await.unwrap();
    for name in ["Hannah", "annika", "Joanne", "bert", "under_score", "underXscore"] {
        rest.register(name).await.unwrap();
    }
    let names = async |query: &str| {
        let answer = me
            .rest
            .get(&format!("/api/users/search?{query}"))
            .await
            .unwrap()
            .expect(200)
            .unwrap();
        let users = answer.body["users"].as_array().unwrap().clone();
        users
            .iter()
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("q=AN&limit=20").await,
        ["annika", "Hannah", "Joanne"],
        "sorted, and without the one who asks"
    );
    assert_eq!(names("query=ann").await, ["annika", "Hannah", "Joanne"]);
    assert_eq!(names("q=bert&query=ann").await, ["bert"]);
    assert_eq!(names("q=an&limit=1").await, ["annika"]);
    assert_eq!(names("q=r_s").await, ["under_score"], "a wildcard means itself");
    assert_eq!(names("q=%25").await, [""; 0]);
    assert_eq!(names("q=+bert+").await, ["bert"]);
    assert_eq!(names("q=NNA").await, ["Hannah"]);
    assert_eq!(names("q=under_s").await, ["under_score"]);
    assert_eq!(names("q=searcher").await, [""; 0], "oneself is not found");
    assert_eq!(names("q=%D0%B0%D0%BD").await, [""; 0]);
    let found = me.rest.get("/api/users/search?q=an&limit=1").await.unwrap();
    assert_eq!(found.body["total"], 3);
    let user = &found.body["users"][0];
    assert_eq!(
        (&user["isContact"], &user["hasPendingRequest"]),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn nonsense_is_refused() {
    let cluster = Cluster::start().await;
    let me = cluster.rest(0).register("ada").await.unwrap();
    let long = format!("q={}", "x".repeat(101));
    for query in [
        "",
        "q=",
        "q=%20",
        "q=a&limit=0",
        "q=a&limit=-1",
        "q=a&limit=x",
        "q=a%00b",
        "q=a&q=b",
        &long,
    ] {
        let answer = me.rest.get(&format!("/api/users/search?{query}")).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (400, &json!("VALIDATION_ERROR")),
            "{query}"
        );
    }
    me.rest
        .get("/api/users/search?q=a&limit=100000&more=1")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    me.rest
        .get("/api/users/search?q=%ff%fe")
        .await
        .unwrap()
        .expect(200)
        .unwrap();
}

/// Two replicas on which people may write and search as fast as they can.
async fn unlimited() -> Cluster {
    Cluster::with(|config| config.limits.rate_limits = Switch::Off).await
}

async fn group(owner: &LoggedIn, name: &str, members: &[&LoggedIn]) -> String {
    let ids: Vec<&str> = members.iter().map(|member| &*member.id).collect();
    let ask = json!({"name": name, "participantIds": ids});
    let group = owner.rest.post("/api/chats/group", ask).await.unwrap();
    group.expect(201).unwrap().str("id").unwrap().to_owned()
}

async fn say(who: &LoggedIn, chat: &str, text: &str) -> Uuid {
    let path = format!("/api/chats/{chat}/messages");
    let sent = who.rest.post(&path, json!({"content": text})).await.unwrap();
    sent.expect(201).unwrap().str("id").unwrap().parse().unwrap()
}

async fn search(who: &LoggedIn, query: &[(&str, &str)]) -> Answer {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    who.rest
        .get(&format!("/api/messages/search?{query}"))
        .await
        .unwrap()
}

/// What the messages say that are found by this, in the order of the answer.
async fn found(who: &LoggedIn, q: &str) -> Vec<String> {
    contents(&search(who, &[("q", q)]).await.expect(200).unwrap())
}

fn contents(answer: &Answer) -> Vec<String> {
    let data = answer.body["data"].as_array().unwrap();
    data.iter()
        .map(|hit| hit["content"].as_str().unwrap().to_owned())
        .collect()
}

/// Let so much be said in every chat that what was said before is condensed, and wait until it is.
async fn condense(cluster: &Cluster) {
    let mut database = cluster.database().await;
    for talk in [
        "insert into messages (id, chat_id, seq, content, content_type, created_at)
         select gen_random_uuid(), t.id, t.last_seq + n, '·', 'text', t.last_at + n * interval '1 microsecond'
         from topics t join chats c on c.id = t.id cross join generate_series(1, 64) n",
        "update topics set last_seq = last_seq + 64, last_at = last_at + interval '64 microseconds'",
        "insert into search_due (chat_id) select id from chats on conflict do nothing",
    ] {
        sqlx::query(talk).execute(&mut database).await.unwrap();
    }
    let left = "select (select count(*) from search_due)
                     + (select count(*) from messages m where not exists (
                           select from search_segments s
                           where s.chat_id = m.chat_id and m.created_at between s.first_at and s.last_at and s.text is not null))";
    for _ in 0..300 {
        let left: i64 = sqlx::query_scalar(left).fetch_one(&mut database).await.unwrap();
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody condenses messages");
}

#[tokio::test]
async fn messages_are_found_by_words_and_by_parts_of_their_text() {
    let cluster = unlimited().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let chat = group(&ada, "Tea party", &[&bob]).await;
    for text in [
        "She is running late",
        "We run a restaurant",
        "I was hoping for happiness",
        "capability of dying skies",
        "The R&D budget",
        "r d",
        "100% sure",
        "1000 sure things",
        "snake_case",
        "snakeXcase",
        r"C:\temp",
        "a < b > c &amp; d",
        "ПРИВЕТ, Ёлка",
        "party 🎉🎉",
        "猫が好き",
        "two  lines\nof text",
        "ΟΔΟΣ",
        "<b>bo</b>ld <script>x</script>",
    ] {
        say(&ada, &chat, text).await;
    }
    let questions: &[(&str, &[&str])] = &[
        ("run", &["We run a restaurant", "She is running late"]),
        ("RUNS", &["We run a restaurant", "She is running late"]),
        ("runs late", &["She is running late"]),
        ("hope", &["I was hoping for happiness"]),
        ("happy", &["I was hoping for happiness"]),
        ("capable", &["capability of dying skies"]),
        ("die", &["capability of dying skies"]),
        ("sky", &["capability of dying skies"]),
        ("staur", &["We run a restaurant"]),
        ("a resta", &["We run a restaurant"]),
        ("R&D", &["The R&amp;D budget"]),
        ("&amp;", &[]),
        ("amp", &[]),
        ("&", &["a &lt; b &gt; c &amp; d", "The R&amp;D budget"]),
        ("< B >", &["a &lt; b &gt; c &amp; d"]),
        ("%", &["100% sure"]),
        ("100%", &["100% sure"]),
        ("0% s", &["100% sure"]),
        ("_", &["snake_case"]),
        ("e_c", &["snake_case"]),
        ("\\", &[r"C:\temp"]),
        (r":\t", &[r"C:\temp"]),
        ("привет", &["ПРИВЕТ, Ёлка"]),
        ("ёЛК", &["ПРИВЕТ, Ёлка"]),
        ("🎉", &["party 🎉🎉"]),
        ("🎉🎉🎉", &[]),
        ("猫", &["猫が好き"]),
        ("two lines of", &["two  lines\nof text"]),
        ("οδος", &["ΟΔΟΣ"]),
        ("the", &["The R&amp;D budget"]),
        ("Q", &[]),
        ("xyzzy", &[]),
        ("lt", &[]),
    ];
    for condensed in [false, true] {
        for (q, expected) in questions {
            assert_eq!(found(&bob, q).await, *expected, "{q}; condensed: {condensed}");
        }
        let markup = search(&bob, &[("q", "strong")]).await;
        assert_eq!(markup.body["total"], 0, "{}", markup.text);
        condense(&cluster).await;
    }
    let hit = search(&bob, &[("query", "r&d")]).await.expect(200).unwrap();
    assert_eq!(
        (
            &hit.body["data"][0]["chatName"],
            &hit.body["data"][0]["sender"]["username"]
        ),
        (&json!("Tea party"), &json!("ada"))
    );
    assert_eq!(
        (&hit.body["total"], &hit.body["hasMore"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(
        (&hit.body["cursor"], &hit.body["nextCursor"]),
        (&Value::Null, &Value::Null)
    );
    let both = search(&bob, &[("q", "r&d"), ("query", "party")]).await;
    assert_eq!(both.body["data"], hit.body["data"], "q wins");
}

#[tokio::test]
async fn only_members_find_what_was_said() {
    let cluster = unlimited().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let eve = cluster.rest(0).register("eve").await.unwrap();
    let (tea, work) = (
        group(&ada, "Tea", &[&bob]).await,
        group(&ada, "Work", &[&bob]).await,
    );
    say(&ada, &tea, "a secret of tea").await;
    say(&bob, &work, "a secret of work").await;
    let own = group(&eve, "Own", &[&bob]).await;
    let mut database = cluster.database().await;
    for condensed in [false, true] {
        assert_eq!(
            found(&ada, "secret").await,
            ["a secret of work", "a secret of tea"]
        );
        let filtered = search(&ada, &[("q", "secret"), ("chatId", &tea)]).await;
        assert_eq!(contents(&filtered), ["a secret of tea"], "condensed: {condensed}");
        assert_eq!(filtered.body["total"], 1);
        assert_eq!(found(&eve, "secret").await, [""; 0]);
        for foreign in [&*tea, &*Uuid::nil().to_string()] {
            let answer = search(&eve, &[("q", "secret"), ("chatId", foreign)]).await;
            assert_eq!(answer.status, 404, "{}", answer.text);
        }
        assert_eq!(
            contents(&search(&eve, &[("q", "secret"), ("chatId", &own)]).await),
            [""; 0]
        );
        condense(&cluster).await;
    }
    sqlx::query("update participants set left_at = now() where user_id = $1 and chat_id = $2")
        .bind(bob.id.parse::<Uuid>().unwrap())
        .bind(tea.parse::<Uuid>().unwrap())
        .execute(&mut database)
        .await
        .unwrap();
    assert_eq!(found(&bob, "secret").await, ["a secret of work"]);
    search(&bob, &[("q", "secret"), ("chatId", &tea)])
        .await
        .expect(403)
        .unwrap();
    sqlx::query("update chats set deleted_at = now() where id = $1")
        .bind(work.parse::<Uuid>().unwrap())
        .execute(&mut database)
        .await
        .unwrap();
    assert_eq!(found(&bob, "secret").await, [""; 0]);
    assert_eq!(found(&ada, "secret").await, ["a secret of tea"]);
}

/// Whoever changes a message need not know about searching.
#[tokio::test]
async fn what_is_not_said_any_more_is_not_found() {
    let cluster = unlimited().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let chat = group(&ada, "Tea", &[&bob]).await;
    let mut database = cluster.database().await;
    for condensed in [false, true] {
        let edited = say(&ada, &chat, "the first wording").await;
        let deleted = say(&ada, &chat, "a slip of the tongue").await;
        let system = say(&ada, &chat, "x").await;
        if condensed {
            condense(&cluster).await;
        }
        for (id, change) in [
            (
                edited,
                "content = 'the <b>sec</b>ond &amp; wording', edited_at = now()",
            ),
            (deleted, "content = '[Message Deleted]', deleted_at = now()"),
            (
                system,
                "content = 'Ada invited Bob', content_type = 'system', sender_id = null",
            ),
        ] {
            let change = format!("update messages set {change} where id = $1");
            let done = sqlx::query(sqlx::AssertSqlSafe(change))
                .bind(id)
                .execute(&mut database)
                .await;
            done.unwrap();
        }
        for gone in ["first", "slip", "Deleted", "invited"] {
            assert_eq!(found(&bob, gone).await, [""; 0], "{gone}; condensed: {condensed}");
        }
        for there in ["second", "OND &", "seconds"] {
            let found = found(&bob, there).await;
            assert_eq!(
                found,
                ["the <b>sec</b>ond &amp; wording"],
                "{there}; condensed: {condensed}"
            );
        }
        let copies: i64 =
            sqlx::query_scalar("select count(*) from search_segments where text ~ 'slip|first'")
                .fetch_one(&mut database)
                .await
                .unwrap();
        assert_eq!(copies, 0, "nothing remains of a deleted text");
        if condensed {
            condense(&cluster).await;
            assert_eq!(found(&bob, "seconds").await.len(), 1, "the segment was made anew");
            assert_eq!(found(&bob, "slip").await, [""; 0]);
        }
        sqlx::query("delete from messages")
            .execute(&mut database)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn no_page_border_loses_or_repeats_a_hit() {
    let cluster = unlimited().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let chats = [
        group(&ada, "Tea", &[&bob]).await,
        group(&ada, "Work", &[&bob]).await,
        group(&ada, "Play", &[&bob]).await,
    ];
    for number in 0..40 {
        for chat in &chats {
            say(&ada, chat, &format!("word number {number}")).await;
        }
    }
    let mut database = cluster.database().await;
    // At the same times in all three.
    let same = "update messages set created_at = timestamptz '2026-01-01Z' + seq * interval '1 second'";
    sqlx::query(same).execute(&mut database).await.unwrap();
    sqlx::query("delete from search_segments")
        .execute(&mut database)
        .await
        .unwrap();
    let expected: Vec<Uuid> = sqlx::query_scalar("select id from messages order by created_at desc, id desc")
        .fetch_all(&mut database)
        .await
        .unwrap();
    assert_eq!(expected.len(), 120);
    for condensed in [false, true] {
        for limit in ["7", "100"] {
            let (mut seen, mut cursor) = (Vec::<Uuid>::new(), None::<String>);
            loop {
                let mut query = vec![("q", "word"), ("limit", limit)];
                query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
                let page = search(&bob, &query).await.expect(200).unwrap();
                assert_eq!(page.body["total"], 100, "counted up to there");
                let data = page.body["data"].as_array().unwrap();
                seen.extend(
                    data.iter()
                        .map(|hit| hit["id"].as_str().unwrap().parse::<Uuid>().unwrap()),
                );
                assert_eq!(page.body["cursor"], page.body["nextCursor"]);
                if page.body["hasMore"] == false {
                    assert_eq!(page.body["nextCursor"], Value::Null);
                    break;
                }
                cursor = Some(page.str("nextCursor").unwrap().to_owned());
            }
            assert_eq!(seen, expected, "limit {limit}; condensed: {condensed}");
        }
        let page = search(
            &bob,
            &[("q", "word"), ("limit", "2"), ("cursor", "2026-01-01T00:00:05Z")],
        )
        .await;
        assert_eq!(
            (contents(&page), &page.body["total"]),
            (vec!["word number 3".to_owned(); 2], &json!(100)),
            "what was sent before that time"
        );
        condense(&cluster).await;
    }
}

/// Messages are condensed without anybody asking, in parts, and whatever their length.
#[tokio::test]
async fn long_chats_are_searched_whole() {
    let cluster = unlimited().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let chat = group(&ada, "Tea", &[&bob]).await;
    let mut database = cluster.database().await;
    let fill = "insert into messages (id, chat_id, seq, sender_id, content, content_type, created_at)
                select gen_random_uuid(), $1, n, $2, case when n % 500 = 0 then repeat('ы', 9000) || ' long' else 'line ' || n end,
                       'text', now() - interval '1 day' + n * interval '1 second'
                from generate_series(1, 3000) n";
    let (chat_id, sender): (Uuid, Uuid) = (chat.parse().unwrap(), ada.id.parse().unwrap());
    sqlx::query(fill)
        .bind(chat_id)
        .bind(sender)
        .execute(&mut database)
        .await
        .unwrap();
    sqlx::query("insert into topics (id, last_seq, last_at) values ($1, 3000, now())")
        .bind(chat_id)
        .execute(&mut database)
        .await
        .unwrap();
    let mut segments = 0_i64;
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let count = "select count(*) from search_segments where not exists (select from search_due)";
        segments = sqlx::query_scalar(count).fetch_one(&mut database).await.unwrap();
        if segments > 0 {
            break;
        }
    }
    assert!((10..100).contains(&segments), "{segments}");
    let holes: i64 = sqlx::query_scalar(
        "select count(*) from messages m
         where (select count(*) from search_segments s where m.created_at between s.first_at and s.last_at) <> 1",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    assert_eq!(holes, 0);
    say(&ada, &chat, "line 3001").await;
    for (q, expected) in [
        ("line 3001", 1),
        ("line 1", 100),
        ("LINE 17", 100),
        ("line 1717", 1),
        ("long", 6),
        ("ЫЫ", 6),
    ] {
        assert_eq!(search(&bob, &[("q", q)]).await.body["total"], expected, "{q}");
    }
}

#[tokio::test]
async fn nonsense_is_refused_when_messages_are_searched() {
    let cluster = Cluster::start().await;
    let me = cluster.rest(0).register("ada").await.unwrap();
    let long = "x".repeat(101);
    for query in [
        &[][..],
        &[("q", "")],
        &[("q", "  ")],
        &[("q", "\u{1}")],
        &[("q", "a\0b")],
        &[("q", &long)],
        &[("q", "a"), ("limit", "0")],
        &[("q", "a"), ("chatId", "tea")],
        &[("q", "a"), ("cursor", "yesterday")],
        &[("q", "a"), ("cursor", "-4800-01-01T00:00:00Z")],
        &[("q", "a"), ("cursor", "2026-01-01T00:00:00Z_x")],
    ] {
        let answer = search(&me, query).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (400, &json!("VALIDATION_ERROR")),
            "{query:?}"
        );
    }
    for query in [
        &[("q", "'"), ("limit", "100000")][..],
        &[("q", "!:* & | <-> ("), ("cursor", "0001-01-01T00:00:00Z")],
        &[("q", "a:*b"), ("cursor", "9999-12-31T23:59:59.999999999Z")],
    ] {
        let answer = search(&me, query).await.expect(200).unwrap();
        assert_eq!(
            (&answer.body["data"], &answer.body["total"]),
            (&json!([]), &json!(0))
        );
    }
}
