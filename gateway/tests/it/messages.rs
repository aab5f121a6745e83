//! What happens to messages after they were sent: edits, deletions, reactions.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tools::client::{Answer, Rest, rest::LoggedIn};
use uuid::Uuid;

use crate::cluster::Cluster;

/// Two people on two replicas who have accepted each other, and their chat.
async fn contacts(cluster: &Cluster) -> (LoggedIn, LoggedIn, String) {
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let request = ada
        .rest
        .post("/api/contacts/request", json!({"contactId": bob.id}))
        .await
        .unwrap();
    let accept = format!("/api/contacts/{}/accept", request.str("id").unwrap());
    let contact = bob.rest.post(&accept, None).await.unwrap().expect(200).unwrap();
    let chat = contact.str("id").unwrap().to_owned();
    (ada, bob, chat)
}

async fn group(owner: &LoggedIn, members: &[&LoggedIn]) -> String {
    let ids: Vec<_> = members.iter().map(|member| &member.id).collect();
    let group = json!({"name": "Tea", "participantIds": ids});
    let group = owner.rest.post("/api/chats/group", group).await.unwrap();
    group.expect(201).unwrap().str("id").unwrap().to_owned()
}

async fn send(who: &LoggedIn, chat: &str, body: Value) -> Answer {
    let path = format!("/api/chats/{chat}/messages");
    who.rest.post(&path, body).await.unwrap().expect(201).unwrap()
}

/// The id of a new message.
async fn say(who: &LoggedIn, chat: &str, content: &str) -> String {
    let sent = send(who, chat, json!({"content": content})).await;
    sent.str("id").unwrap().to_owned()
}

async fn edit(who: &Rest, id: &str, content: &str) -> Answer {
    who.put(&format!("/api/messages/{id}"), json!({"content": content}))
        .await
        .unwrap()
}

async fn delete(who: &Rest, id: &str) -> Answer {
    who.delete(&format!("/api/messages/{id}")).await.unwrap()
}

async fn react(who: &Rest, id: &str, emoji: &str) -> Answer {
    who.post(&format!("/api/messages/{id}/reactions"), json!({"emoji": emoji}))
        .await
        .unwrap()
}

async fn unreact(who: &Rest, id: &str, which: &str) -> Answer {
    who.delete(&format!("/api/messages/{id}/reactions/{which}"))
        .await
        .unwrap()
}

/// A chat's messages as somebody sees them, the oldest first.
async fn history(who: &LoggedIn, chat: &str) -> Vec<Value> {
    let page = who
        .rest
        .get(&format!("/api/chats/{chat}/messages?limit=100"))
        .await
        .unwrap();
    page.expect(200).unwrap().body["data"].as_array().unwrap().clone()
}

/// What was told in a topic, in order: kinds and bodies.
async fn log(database: &mut PgConnection, topic: &str) -> Vec<(String, Value)> {
    let rows: Vec<(i64, String, String)> =
        sqlx::query_as("select seq, kind, body from events where topic_id = $1 order by seq")
            .bind(topic.parse::<Uuid>().unwrap())
            .fetch_all(database)
            .await
            .unwrap();
    let events = rows.into_iter().enumerate().map(|(index, (seq, kind, body))| {
        assert_eq!(seq, index as i64 + 1, "no holes");
        let body: Value = serde_json::from_str(&body).unwrap();
        if body.is_object() {
            assert_eq!(body["seq"], seq, "an event knows its place: {body}");
        }
        (kind, body)
    });
    events.collect()
}

/// Where a text can be found in the database.
async fn traces(database: &mut PgConnection, text: &str) -> Vec<String> {
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
            .fetch_all(&mut *database)
            .await
            .unwrap();
    assert!(
        ["events", "messages", "message_edits"]
            .iter()
            .all(|table| tables.iter().any(|name| name == table))
    );
    let mut found = Vec::new();
    for table in tables {
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select row::text from {table} row where strpos(row::text, $1) > 0"
        )))
        .bind(text)
        .fetch_all(&mut *database)
        .await
        .unwrap();
        found.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    found
}

async fn leave(cluster: &Cluster, who: &LoggedIn, chat: &str) {
    sqlx::query("update participants set left_at = now() where user_id = $1 and chat_id = $2")
        .bind(who.id.parse::<Uuid>().unwrap())
        .bind(chat.parse::<Uuid>().unwrap())
        .execute(&mut cluster.database().await)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_message_is_edited_by_its_sender_and_nobody_else() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = contacts(&cluster).await;
    let eve = cluster.rest(0).register("eve").await.unwrap();
    let sent = send(
        &ada,
        &chat,
        json!({"content": "one", "metadata": {"sentAt": 1.50}}),
    )
    .await;
    let id = sent.str("id").unwrap();

    // On the other replica, and as harmless as what is sent.
    let elsewhere = cluster.rest(1).with_token(&ada.access_token);
    let edited = edit(&elsewhere, id, " two <script>x()</script> & ").await;
    let edited = edited.expect(200).unwrap();
    let harmless = "two &lt;script&gt;x()&lt;/script&gt; &amp;";
    assert_eq!(edited.str("content").unwrap(), harmless);
    assert_eq!(edited.body["message"]["id"], sent.body["id"]);
    assert_eq!(
        (&edited.body["isEdited"], &edited.body["metadata"]),
        (&json!(true), &json!({"sentAt": 1.5}))
    );
    assert_eq!(
        (&edited.body["createdAt"], &edited.body["seq"]),
        (&sent.body["createdAt"], &json!(1))
    );
    let again = edit(&ada.rest, id, "three").await.expect(200).unwrap();
    let unchanged = edit(&ada.rest, id, "three").await.expect(200).unwrap();
    assert_eq!(again.body, unchanged.body, "an edit that changes nothing is none");
    assert_eq!(history(&bob, &chat).await[0]["content"], "three");

    let mut database = cluster.database().await;
    let told = log(&mut database, &chat).await;
    let kinds: Vec<_> = told.iter().map(|(kind, _)| &**kind).collect();
    assert_eq!(kinds, ["message_sent", "message_edited", "message_edited"]);
    let event = &told[2].1;
    assert_eq!(
        (&event["id"], &event["messageId"], &event["chatId"]),
        (&sent.body["id"], &sent.body["id"], &json!(chat))
    );
    assert_eq!(
        (&event["content"], &event["isEdited"], &event["editedAt"]),
        (&json!("three"), &json!(true), &again.body["editedAt"])
    );
    let before: Vec<(i64, String)> = sqlx::query_as("select seq, content from message_edits order by seq")
        .fetch_all(&mut database)
        .await
        .unwrap();
    assert_eq!(before, [(2, "one".to_owned()), (3, harmless.to_owned())]);

    assert_eq!(
        edit(&bob.rest, id, "mine").await.expect(403).unwrap().body["reason"],
        "NOT_SENDER"
    );
    let unknown = edit(&eve.rest, &Uuid::new_v4().to_string(), "x")
        .await
        .expect(404)
        .unwrap();
    let foreign = edit(&eve.rest, id, "x").await.expect(404).unwrap();
    assert_eq!(
        unknown.body["error"], foreign.body["error"],
        "a stranger does not learn that it is there"
    );
    for (id, content, status) in [
        (id, "", 400),
        (id, " \n ", 400),
        (id, &*"x".repeat(10_001), 400),
        ("no-id", "x", 400),
    ] {
        edit(&ada.rest, id, content).await.expect(status).unwrap();
    }
    sqlx::query("delete from contacts")
        .execute(&mut database)
        .await
        .unwrap();
    assert_eq!(
        edit(&ada.rest, id, "four").await.expect(403).unwrap().body["reason"],
        "NOT_CONTACTS"
    );
    delete(&ada.rest, id).await.expect(204).unwrap();
}

#[tokio::test]
async fn nothing_of_a_deleted_message_remains() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = contacts(&cluster).await;
    let secret = json!({"content": "xyzzy & co", "metadata": {"note": "xyzzy"}});
    let sent = send(&ada, &chat, secret).await;
    let id = sent.str("id").unwrap();
    let metadata = r#"{"n":1.50,"b":1,"a":2}"#;
    let reply = format!(r#"{{"content":"what?","replyToId":"{id}","metadata":{metadata}}}"#);
    let path = format!("/api/chats/{chat}/messages");
    let reply = bob
        .rest
        .raw(Method::POST, &path, Some("application/json"), reply)
        .await;
    let reply = reply.unwrap().expect(201).unwrap();
    assert_eq!(reply.body["replyTo"]["content"], "xyzzy &amp; co");
    react(&bob.rest, reply.str("id").unwrap(), "🎉")
        .await
        .expect(201)
        .unwrap();
    react(&bob.rest, id, "👍").await.expect(201).unwrap();
    edit(&ada.rest, id, "also xyzzy").await.expect(200).unwrap();
    send(&ada, &chat, json!({"content": "look", "replyToId": id})).await;
    edit(&ada.rest, id, "xyzzy at last").await.expect(200).unwrap();
    let mut database = cluster.database().await;
    assert!(
        traces(&mut database, "xyzzy").await.len() > 5,
        "the test sees what it should"
    );
    let before = log(&mut database, &chat).await;

    assert_eq!(
        delete(&bob.rest, id).await.expect(403).unwrap().body["reason"],
        "NOT_SENDER"
    );
    let eve = cluster.rest(1).register("eve").await.unwrap();
    delete(&eve.rest, id).await.expect(404).unwrap();
    delete(&ada.rest, id).await.expect(204).unwrap();
    delete(&cluster.rest(1).with_token(&ada.access_token), id)
        .await
        .expect(204)
        .unwrap();
    assert_eq!(traces(&mut database, "xyzzy").await, [""; 0]);

    let seen = history(&bob, &chat).await;
    let gone = &seen[0];
    assert_eq!(
        (&gone["content"], &gone["contentType"], &gone["isDeleted"]),
        (&json!("[Deleted]"), &json!("text"), &json!(true))
    );
    assert_eq!(
        (&gone["metadata"], &gone["reactions"], &gone["id"]),
        (&json!({}), &json!([]), &sent.body["id"])
    );
    assert!(gone["deletedAt"].is_string());
    for quoting in &seen[1..] {
        assert_eq!(quoting["replyTo"]["content"], "[Message Deleted]");
    }

    let after = log(&mut database, &chat).await;
    assert_eq!(after.len(), before.len() + 1, "deleting again is not told");
    let (kind, event) = &after[before.len()];
    assert_eq!(kind, "message_deleted");
    assert_eq!(
        (&event["messageId"], &event["content"], &event["isDeleted"]),
        (&sent.body["id"], &json!("[Deleted]"), &json!(true))
    );
    for ((kind, old), (kind_now, new)) in before.iter().zip(&after) {
        assert_eq!(kind, kind_now);
        assert_eq!(keys(old), keys(new), "the same shape as before");
        assert_eq!(old["id"], new["id"]);
        if kind == "message_sent" && old["id"] != sent.body["id"] {
            assert_eq!(new["replyTo"]["content"], "[Message Deleted]");
            assert_eq!(
                (&new["content"], &new["metadata"]),
                (&old["content"], &old["metadata"])
            );
            assert_eq!(new["reactions"], json!([]), "that is told later");
        } else if kind != "reaction_added" {
            assert_eq!(new["content"], "[Deleted]");
        }
    }
    let bytes: String = sqlx::query_scalar("select body from events where seq = 2 and topic_id = $1")
        .bind(chat.parse::<Uuid>().unwrap())
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert!(bytes.contains(metadata), "metadata comes back untouched: {bytes}");

    assert_eq!(
        edit(&ada.rest, id, "back").await.expect(409).unwrap().body["reason"],
        "MESSAGE_DELETED"
    );
    assert_eq!(
        react(&ada.rest, id, "👍").await.expect(409).unwrap().body["reason"],
        "MESSAGE_DELETED"
    );
    let late = send(&bob, &chat, json!({"content": "gone?", "replyToId": id})).await;
    assert_eq!(late.body["replyTo"]["content"], "[Message Deleted]");
}

fn keys(event: &Value) -> Vec<&String> {
    event.as_object().unwrap().keys().collect()
}

/// Somebody quotes, edits and reacts to a message while it is being deleted.
#[tokio::test]
async fn no_copy_survives_a_race() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = gateway::config::Switch::Off).await;
    let (ada, bob, chat) = contacts(&cluster).await;
    let doors = [cluster.rest(0), cluster.rest(1)];
    let path = format!("/api/chats/{chat}/messages");
    let mut database = cluster.database().await;
    for round in 0..12 {
        let id = say(&ada, &chat, "xyzzy").await;
        let reply = json!({"content": "what?", "replyToId": id});
        let (mine, yours) = (
            |i: usize| doors[i % 2].with_token(&ada.access_token),
            |i: usize| doors[i % 2].with_token(&bob.access_token),
        );
        let (a, b, c) = (mine(round), yours(round), mine(round + 1));
        let ((), (), (), ()) = tokio::join!(
            async {
                for _ in 0..4 {
                    b.post(&path, reply.clone()).await.unwrap().expect(201).unwrap();
                }
            },
            async {
                for i in 0..4 {
                    let answer = edit(&a, &id, &format!("xyzzy {i}")).await;
                    assert!([200, 409].contains(&answer.status), "{}", answer.text);
                }
            },
            async {
                for emoji in ["👍", "🎉", "❤️"] {
                    let answer = react(&b, &id, emoji).await;
                    assert!([201, 409].contains(&answer.status), "{}", answer.text);
                }
            },
            async {
                tokio::time::sleep(std::time::Duration::from_millis(3 * round as u64)).await;
                delete(&c, &id).await.expect(204).unwrap();
            },
        );
        assert_eq!(traces(&mut database, "xyzzy").await, [""; 0], "round {round}");
        let left: i64 = sqlx::query_scalar("select count(*) from reactions")
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(left, 0, "round {round}");
    }
    log(&mut database, &chat).await;
}

#[tokio::test]
async fn many_answers_are_written_anew() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = gateway::config::Switch::Off).await;
    let (ada, bob, chat) = contacts(&cluster).await;
    let id = say(&ada, &chat, "xyzzy").await;
    for _ in 0..23 {
        let replies = (0..10).map(|_| send(&bob, &chat, json!({"content": "what?", "replyToId": id})));
        join_all(replies).await;
    }
    delete(&ada.rest, &id).await.expect(204).unwrap();
    let mut database = cluster.database().await;
    assert_eq!(traces(&mut database, "xyzzy").await, [""; 0]);
    assert_eq!(log(&mut database, &chat).await.len(), 232);
}

#[tokio::test]
async fn reactions_come_and_go() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = gateway::config::Switch::Off).await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let eve = cluster.rest(1).register("eve").await.unwrap();
    let chat = group(&ada, &[&bob]).await;
    let id = say(&ada, &chat, "hello").await;

    // The same emoji at once on both replicas is one reaction.
    let doors = [cluster.rest(0), cluster.rest(1)].map(|door| door.with_token(&bob.access_token));
    let answers = join_all((0..6).map(|i| react(&doors[i % 2], &id, "👍"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in &answers {
        assert!([200, 201].contains(&answer.status), "{}", answer.text);
        assert_eq!(answer.body["id"], answers[0].body["id"]);
        assert_eq!(answer.body["reaction"]["emoji"], "👍");
        assert_eq!(answer.body["user"]["username"], "bob");
    }
    let thumb = answers[0].str("id").unwrap();
    let other = react(&ada.rest, &id, "👍").await.expect(201).unwrap();
    react(&eve.rest, &id, "👍").await.expect(404).unwrap();
    for emoji in ["", "12345678901", "a\u{0}"] {
        react(&bob.rest, &id, emoji).await.expect(400).unwrap();
    }

    // By its only one, whatever the time.
    unreact(&bob.rest, &id, "1000000000000")
        .await
        .expect(204)
        .unwrap();
    unreact(&bob.rest, &id, "1000000000000")
        .await
        .expect(404)
        .unwrap();
    unreact(&bob.rest, &id, thumb).await.expect(404).unwrap();
    // By the nearest of several.
    let mut times = Vec::new();
    for emoji in ["😀", "😮", "😢"] {
        let reaction = react(&bob.rest, &id, emoji).await.expect(201).unwrap();
        let at: chrono::DateTime<chrono::Utc> = reaction.str("createdAt").unwrap().parse().unwrap();
        times.push(at.timestamp_millis());
        cluster.clock.advance(std::time::Duration::from_secs(60));
    }
    unreact(&bob.rest, &id, &(times[1] + 20_000).to_string())
        .await
        .expect(204)
        .unwrap();
    let mine = |messages: Vec<Value>| -> Vec<Value> {
        let reactions = messages[0]["reactions"].as_array().unwrap().clone();
        let mine = reactions
            .into_iter()
            .filter(|reaction| reaction["userId"] == bob.id.as_str());
        mine.map(|reaction| reaction["emoji"].clone()).collect()
    };
    assert_eq!(mine(history(&ada, &chat).await), ["😀", "😢"]);
    // By the emoji, which travels escaped, and by the id alone.
    unreact(&bob.rest, &id, "%F0%9F%98%80").await.expect(204).unwrap();
    let last = react(&bob.rest, &id, "😢").await.expect(200).unwrap();
    let alone = format!("/api/messages/reactions/{}", last.str("id").unwrap());
    assert_eq!(
        ada.rest.delete(&alone).await.unwrap().expect(403).unwrap().body["reason"],
        "NOT_YOUR_REACTION"
    );
    eve.rest.delete(&alone).await.unwrap().expect(404).unwrap();
    bob.rest.delete(&alone).await.unwrap().expect(204).unwrap();
    for which in ["1000000000000", "😢"] {
        let path = format!("/api/messages/reactions/{which}");
        bob.rest.delete(&path).await.unwrap().expect(400).unwrap();
    }

    let foreign = other.str("id").unwrap();
    unreact(&bob.rest, &id, foreign).await.expect(403).unwrap();
    unreact(&bob.rest, &id, "👍").await.expect(404).unwrap();
    unreact(&bob.rest, "no-id", foreign).await.expect(400).unwrap();
    unreact(&bob.rest, &id, "9999999999999999")
        .await
        .expect(404)
        .unwrap();
    let elsewhere = say(&ada, &chat, "another").await;
    unreact(&ada.rest, &elsewhere, foreign).await.expect(404).unwrap();
    let unknown = unreact(&eve.rest, &id, &Uuid::new_v4().to_string())
        .await
        .expect(404)
        .unwrap();
    let known = unreact(&eve.rest, &id, foreign).await.expect(404).unwrap();
    assert_eq!(
        unknown.body["error"], known.body["error"],
        "a stranger does not learn that it is there"
    );

    let told = log(&mut cluster.database().await, &chat).await;
    let kinds: Vec<_> = told.iter().map(|(kind, _)| &**kind).collect();
    let (come, go) = ("reaction_added", "reaction_removed");
    assert_eq!(
        kinds,
        [
            "message_sent",
            come,
            come,
            go,
            come,
            come,
            come,
            go,
            go,
            go,
            "message_sent"
        ]
    );
    for (kind, event) in &told[1..3] {
        assert_eq!(
            (&event["messageId"], &event["chatId"], &event["emoji"]),
            (&json!(id), &json!(chat), &json!("👍")),
            "{kind}"
        );
        assert_eq!(event["id"], event["reactionId"]);
    }
    assert_eq!(
        (&told[3].1["userId"], &told[3].1["reactionId"]),
        (&json!(bob.id), &json!(thumb))
    );

    for i in 0..20 {
        react(&bob.rest, &elsewhere, &i.to_string())
            .await
            .expect(201)
            .unwrap();
    }
    let full = react(&bob.rest, &elsewhere, "👍").await.expect(409).unwrap();
    assert_eq!(full.body["reason"], "TOO_MANY_REACTIONS");
    react(&bob.rest, &elsewhere, "7").await.expect(200).unwrap();
    react(&ada.rest, &elsewhere, "👍").await.expect(201).unwrap();
}

#[tokio::test]
async fn reactions_have_a_rate_of_their_own() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = contacts(&cluster).await;
    let id = say(&ada, &chat, "hello").await;
    let doors = [cluster.rest(0), cluster.rest(1)].map(|door| door.with_token(&bob.access_token));
    let answers = join_all((0..12).map(|i| react(&doors[i % 2], &id, "👍"))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(refused.len() >= 5, "{}", refused.len());
    assert_eq!(refused[0].body["reason"], "RATE_EXCEEDED");
}

#[tokio::test]
async fn who_is_gone_changes_nothing() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let chat = group(&ada, &[&bob]).await;
    let id = say(&bob, &chat, "hello").await;
    let reaction = react(&bob.rest, &id, "👍").await.expect(201).unwrap();
    let system = Uuid::now_v7().to_string();
    sqlx::query(
        "insert into messages (id, chat_id, seq, content, content_type, created_at) values ($1, $2, 1000, 'came', 'system', now())",
    )
    .bind(system.parse::<Uuid>().unwrap())
    .bind(chat.parse::<Uuid>().unwrap())
    .execute(&mut cluster.database().await)
    .await
    .unwrap();
    edit(&ada.rest, &system, "went").await.expect(403).unwrap();
    delete(&ada.rest, &system).await.expect(403).unwrap();
    assert_eq!(
        react(&ada.rest, &system, "👍").await.expect(409).unwrap().body["reason"],
        "SYSTEM_MESSAGE"
    );

    leave(&cluster, &bob, &chat).await;
    for answer in [
        edit(&bob.rest, &id, "bye").await,
        delete(&bob.rest, &id).await,
        react(&bob.rest, &id, "🎉").await,
        unreact(&bob.rest, &id, reaction.str("id").unwrap()).await,
    ] {
        assert_eq!(
            (answer.status, &answer.body["reason"]),
            (403, &json!("CHAT_LEFT")),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn old_paths_lead_to_the_same() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = contacts(&cluster).await;
    let path = format!("/api/messages/{chat}");
    let keyed = ada.rest.with_header("idempotency-key", "k");
    let sent = keyed
        .post(&path, json!({"content": "hello"}))
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    let again = keyed
        .post(&path, json!({"content": "hello"}))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    assert_eq!(sent.body["message"]["id"], again.body["id"]);
    let page = bob
        .rest
        .get(&format!("{path}?limit=1"))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    assert_eq!(page.body["data"][0]["id"], sent.body["id"]);
    bob.rest
        .patch(&path, json!({}))
        .await
        .unwrap()
        .expect(405)
        .unwrap();
}
