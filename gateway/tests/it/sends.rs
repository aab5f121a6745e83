//! Messages that share a transaction: each is judged alone, and all are told in one order.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use gateway::{
    config::Switch,
    error::Error,
    features::{Caller, Way, messages::send},
};
use serde_json::{Value, json};
use shared::{
    ChatId, SessionId,
    message::{ContentType, SendMessage},
    secret::Secret,
};
use tools::client::{Answer, Rest, rest::LoggedIn};
use uuid::Uuid;

use crate::{
    cluster::{Cluster, services},
    weather::{Weather, Wire, target_of, through},
};

async fn person(cluster: &Cluster, replica: usize, name: &str) -> LoggedIn {
    cluster.rest(replica).register(name).await.unwrap()
}

async fn group(owner: &LoggedIn, members: &[&LoggedIn]) -> String {
    let ids: Vec<_> = members.iter().map(|member| &member.id).collect();
    let group = json!({"name": "Tea", "participantIds": ids});
    let group = owner.rest.post("/api/chats/group", group).await.unwrap();
    group.expect(201).unwrap().str("id").unwrap().to_owned()
}

/// The direct chat of two people, who have accepted each other.
async fn direct(one: &LoggedIn, other: &LoggedIn) -> String {
    let request = json!({"contactId": other.id});
    let request = one.rest.post("/api/contacts/request", request).await.unwrap();
    let accept = format!("/api/contacts/{}/accept", request.str("id").unwrap());
    let contact = other.rest.post(&accept, None).await.unwrap();
    contact.expect(200).unwrap().str("id").unwrap().to_owned()
}

async fn send(who: &Rest, chat: &str, body: Value) -> Answer {
    let path = format!("/api/chats/{chat}/messages");
    who.post(&path, body).await.unwrap()
}

/// What was said in a chat, the oldest first: places, kinds and contents, without holes and as the log tells it.
async fn said(cluster: &Cluster, chat: &str) -> Vec<(i64, String, String)> {
    let mut database = cluster.database().await;
    let chat: Uuid = chat.parse().unwrap();
    let kept: Vec<(i64, String, String)> =
        sqlx::query_as("select seq, content_type, content from messages where chat_id = $1 order by seq")
            .bind(chat)
            .fetch_all(&mut database)
            .await
            .unwrap();
    let told: Vec<(i64, String)> =
        sqlx::query_as("select seq, body from events where topic_id = $1 order by seq")
            .bind(chat)
            .fetch_all(&mut database)
            .await
            .unwrap();
    let last: i64 = sqlx::query_scalar("select last_seq from topics where id = $1")
        .bind(chat)
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(told.len() as i64, last);
    assert!(
        told.iter().zip(1..).all(|((seq, _), place)| *seq == place),
        "no holes"
    );
    let messages = told.iter().filter_map(|(seq, body)| {
        let body: Value = serde_json::from_str(body).unwrap();
        let part = |name: &str| Some(body[name].as_str()?.to_owned());
        assert_eq!(body["seq"], *seq);
        Some((*seq, part("contentType")?, part("content")?))
    });
    assert_eq!(
        messages.collect::<Vec<_>>(),
        kept,
        "what is kept is what was told"
    );
    let times: Vec<chrono::DateTime<chrono::Utc>> =
        sqlx::query_scalar("select created_at from messages where chat_id = $1 order by seq")
            .bind(chat)
            .fetch_all(&mut database)
            .await
            .unwrap();
    assert!(times.is_sorted_by(|a, b| a < b), "times rise with places");
    kept
}

#[tokio::test]
async fn whoever_may_not_send_is_refused_alone() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = Switch::Off).await;
    let [ada, ben, cleo, dan] = ["ada", "ben", "cleo", "dan"].map(|name| person(&cluster, 0, name));
    let (ada, ben, cleo, dan) = tokio::join!(ada, ben, cleo, dan);
    let tea = group(&ada, &[&ben, &cleo, &dan]).await;
    let other = group(&ada, &[&ben]).await;
    let leave = format!("/api/chats/{tea}/leave");
    dan.rest.post(&leave, None).await.unwrap();
    let blocked = direct(&ada, &ben).await;
    let block = format!("/api/contacts/{}/block", ada.id);
    ben.rest.post(&block, None).await.unwrap().expect(200).unwrap();
    let ended = direct(&ada, &cleo).await;
    let end = format!("/api/contacts/{}", cleo.id);
    ada.rest.delete(&end).await.unwrap();
    let elsewhere = send(
        &ada.rest,
        &other,
        json!({"content": "elsewhere", "clientMessageId": "used"}),
    )
    .await;
    let elsewhere = elsewhere.expect(201).unwrap().str("id").unwrap().to_owned();
    let first = send(
        &ada.rest,
        &tea,
        json!({"content": "first", "clientMessageId": "first"}),
    )
    .await;
    let first = first.expect(201).unwrap().str("id").unwrap().to_owned();
    let stranger = person(&cluster, 0, "stranger").await;

    for round in 0..5 {
        let good = (0..30).map(|number| {
            let who = [&ada, &ben, &cleo][number % 3];
            let content = format!("good {round} {number}");
            let body =
                json!({"content": content, "clientMessageId": format!("{round} {number}").replace(' ', "-")});
            (who, &tea, body, 201, Value::Null)
        });
        let bad = [
            (&stranger, &tea, json!({"content": "bad"}), 404, Value::Null),
            (&dan, &tea, json!({"content": "bad"}), 403, json!("CHAT_LEFT")),
            (
                &ada,
                &blocked,
                json!({"content": "bad"}),
                403,
                json!("UNREACHABLE"),
            ),
            (
                &cleo,
                &ended,
                json!({"content": "bad"}),
                403,
                json!("NOT_CONTACTS"),
            ),
            (
                &ada,
                &tea,
                json!({"content": "bad", "clientMessageId": "used"}),
                409,
                json!("CLIENT_KEY_REUSED"),
            ),
            (
                &ada,
                &tea,
                json!({"content": "bad", "replyToId": elsewhere}),
                400,
                Value::Null,
            ),
            (
                &ada,
                &tea,
                json!({"content": "again", "clientMessageId": "first"}),
                200,
                Value::Null,
            ),
            (
                &ben,
                &tea,
                json!({"content": "answer", "replyToId": first}),
                201,
                Value::Null,
            ),
        ];
        let mut all: Vec<_> = good.chain(bad).collect();
        let shift = round * 7 % all.len();
        all.rotate_left(shift);
        let sends = all
            .into_iter()
            .map(|(who, chat, body, status, reason)| async move {
                let answer = send(&who.rest, chat, body.clone()).await;
                assert_eq!(
                    (answer.status, &answer.body["reason"]),
                    (status, &reason),
                    "{body}: {}",
                    answer.text
                );
                answer
            });
        let answers = join_all(sends).await;
        let again = answers.iter().find(|answer| answer.status == 200).unwrap();
        assert_eq!(again.str("id").unwrap(), first);
        let answer = answers.iter().find(|answer| answer.body["replyTo"].is_object());
        assert_eq!(answer.unwrap().body["replyTo"]["content"], "first");
    }
    let contents: Vec<_> = said(&cluster, &tea)
        .await
        .into_iter()
        .filter(|(_, kind, _)| kind != "system")
        .map(|(.., content)| content)
        .collect();
    assert_eq!(contents.len(), 1 + 5 * 31);
    assert!(
        !contents
            .iter()
            .any(|content| content == "bad" || content == "again")
    );
    let direct: i64 = sqlx::query_scalar("select count(*) from messages where chat_id = any($1)")
        .bind(vec![blocked.parse::<Uuid>().unwrap(), ended.parse().unwrap()])
        .fetch_one(&mut cluster.database().await)
        .await
        .unwrap();
    assert_eq!(direct, 0);
    let nowhere = Uuid::new_v4();
    let answer = send(&stranger.rest, &nowhere.to_string(), json!({"content": "bad"})).await;
    assert_eq!(answer.status, 404);
    let topics: i64 = sqlx::query_scalar("select count(*) from topics where id = $1")
        .bind(nowhere)
        .fetch_one(&mut cluster.database().await)
        .await
        .unwrap();
    assert_eq!(topics, 0, "a stranger leaves no trace");
}

#[tokio::test]
async fn one_key_is_one_message_however_often_it_is_sent_at_once() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = Switch::Off).await;
    let (ada, ben) = tokio::join!(person(&cluster, 0, "ada"), person(&cluster, 1, "ben"));
    let chats = [group(&ada, &[&ben]).await, group(&ada, &[&ben]).await];
    let doors = [0, 1].map(|replica| cluster.rest(replica).with_token(&ada.access_token));
    for round in 0..10 {
        let body = json!({"content": format!("round {round}"), "clientMessageId": format!("key-{round}")});
        // Others have to share the transactions that are begun anew.
        let noise = (0..20).map(|number| {
            let body = json!({"content": format!("noise {round}-{number}")});
            let (ben, chat) = (&ben, &chats[number % 2]);
            async move { send(&ben.rest, chat, body).await.expect(201).unwrap() }
        });
        // In every second round, the same key is used in both chats at once.
        let sends = (0..24).map(|number| {
            let chat = &chats[number % 3 % 2 * (round % 2)];
            let (door, body) = (&doors[number % 2], body.clone());
            async move { (chat, send(door, chat, body).await) }
        });
        let (answers, _) = tokio::join!(join_all(sends), join_all(noise));
        let new: Vec<_> = answers
            .iter()
            .filter(|(_, answer)| answer.status == 201)
            .collect();
        assert_eq!(new.len(), 1, "round {round}");
        let (of_chat, new) = new[0];
        for (chat, answer) in &answers {
            if chat == of_chat {
                assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
                assert_eq!(answer.str("id").unwrap(), new.str("id").unwrap());
            } else {
                assert_eq!(
                    (answer.status, &answer.body["reason"]),
                    (409, &json!("CLIENT_KEY_REUSED"))
                );
            }
        }
    }
    let mut rounds = 0;
    for chat in &chats {
        let said = said(&cluster, chat).await;
        rounds += said
            .iter()
            .filter(|(.., content)| content.starts_with("round"))
            .count();
    }
    assert_eq!(rounds, 10);
}

/// Chats that overlap, senders on both replicas, edits and removals in between: nobody waits for ever, and the order holds.
#[tokio::test]
async fn order_holds_however_many_send_at_once() {
    let cluster = Cluster::with(|config| {
        config.limits.rate_limits = Switch::Off;
        config.database.max_connections = 12;
    })
    .await;
    let people = (0..7).map(|number| {
        let door = cluster.rest(number % 2);
        async move { door.register(&format!("person_{number}")).await.unwrap() }
    });
    let people = join_all(people).await;
    let mut chats = Vec::new();
    for owner in 0..4 {
        let others: Vec<_> = people
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != owner)
            .map(|(_, p)| p)
            .collect();
        chats.push(group(&people[owner], &others).await);
    }
    chats.push(direct(&people[4], &people[5]).await);
    // The last one says nothing, and comes and goes.
    let senders = people.iter().take(6).enumerate().map(|(number, who)| {
        let chats = &chats;
        async move {
            let mut sent = Vec::new();
            for round in 0..30 {
                let may = |chat: &usize| *chat < 4 || number >= 4;
                let chat = [(number + round) % 5, 0].into_iter().find(may).unwrap();
                let body = json!({"content": format!("{number} {round}")});
                let answer = send(&who.rest, &chats[chat], body).await.expect(201).unwrap();
                let id = answer.str("id").unwrap().to_owned();
                if round % 5 == 0 {
                    let edit = json!({"content": format!("{number} {round}")});
                    who.rest
                        .put(&format!("/api/messages/{id}"), edit)
                        .await
                        .unwrap()
                        .expect(200)
                        .unwrap();
                    let reply = json!({"content": format!("reply {number} {round}"), "replyToId": id});
                    send(&who.rest, &chats[chat], reply).await.expect(201).unwrap();
                    let react = json!({"emoji": "👍"});
                    who.rest
                        .post(&format!("/api/messages/{id}/reactions"), react)
                        .await
                        .unwrap()
                        .expect(201)
                        .unwrap();
                }
                sent.push((chat, answer.body["seq"].as_i64().unwrap()));
            }
            sent
        }
    });
    let coming_and_going = async {
        let (owner, quiet) = (&people[3].rest, &people[6].id);
        let path = format!("/api/chats/{}", chats[3]);
        for _ in 0..10 {
            let gone = owner
                .delete(&format!("{path}/participants/{quiet}"))
                .await
                .unwrap();
            gone.expect(200).unwrap();
            owner
                .put(&path, json!({"name": "Biscuits"}))
                .await
                .unwrap()
                .expect(200)
                .unwrap();
            let back = owner
                .post(&format!("{path}/participants"), json!({"userId": quiet}))
                .await
                .unwrap();
            back.expect(201).unwrap();
        }
    };
    let (sent, ()) = tokio::join!(join_all(senders), coming_and_going);
    for sent in sent {
        for chat in 0..chats.len() {
            let seqs: Vec<_> = sent
                .iter()
                .filter(|(of, _)| *of == chat)
                .map(|(_, seq)| *seq)
                .collect();
            assert!(
                seqs.is_sorted_by(|a, b| a < b),
                "what one person says stays in order"
            );
        }
    }
    for chat in &chats {
        said(&cluster, chat).await;
    }
    let page = people[0]
        .rest
        .get(&format!("/api/chats/{}", chats[0]))
        .await
        .unwrap();
    let last = said(&cluster, &chats[0]).await.pop().unwrap();
    assert_eq!(page.body["lastMessage"]["seq"], last.0);
    assert_eq!(page.body["lastMessageAt"], page.body["lastMessage"]["createdAt"]);
}

/// A cluster whose replicas reach PostgreSQL over a wire that can be cut.
async fn wired() -> (Cluster, Wire) {
    let wire = Wire::to(target_of(&services().database_url)).await;
    let address = wire.address;
    let cluster = Cluster::with(|config| {
        config.limits.rate_limits = Switch::Off;
        config.database.url = Secret::new(through(config.database.url.expose(), address));
        config.database.acquire_timeout = Duration::from_millis(500);
        config.database.statement_timeout = Duration::from_secs(1);
    })
    .await;
    (cluster, wire)
}

#[tokio::test]
async fn while_postgresql_comes_and_goes_what_was_acknowledged_stays() {
    let (cluster, wire) = wired().await;
    let (ada, ben) = tokio::join!(person(&cluster, 0, "ada"), person(&cluster, 1, "ben"));
    let chat = group(&ada, &[&ben]).await;
    let (ada, ben, chat) = (&ada, &ben, &chat);
    // Each says something again until it is acknowledged, as a client does.
    let say = |number: usize| async move {
        let who = [ada, ben][number % 2];
        let mut refused = 0;
        for round in 0..12 {
            let body = json!({"content": format!("{number} {round}"), "clientMessageId": format!("{number}-{round}")});
            loop {
                let answer = send(&who.rest, chat, body.clone()).await;
                match answer.status {
                    200 | 201 => break,
                    503 => {
                        assert_eq!(answer.body["code"], "SERVICE_UNAVAILABLE");
                        assert!(answer.header("retry-after").is_some());
                        refused += 1;
                    }
                    _ => panic!("{}", answer.text),
                }
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        refused
    };
    let weather = async {
        for weather in [Weather::Cut, Weather::Frozen, Weather::Cut] {
            tokio::time::sleep(Duration::from_millis(100)).await;
            wire.set(weather);
            tokio::time::sleep(Duration::from_millis(700)).await;
            wire.set(Weather::Fine);
        }
    };
    let (refused, ()) = tokio::join!(join_all((0..20).map(say)), weather);
    assert!(refused.iter().sum::<usize>() > 0, "the weather was felt");
    let contents: Vec<_> = said(&cluster, chat)
        .await
        .into_iter()
        .map(|(.., content)| content)
        .collect();
    assert_eq!(contents.len(), 20 * 12, "nothing lost, nothing twice");
    assert_eq!(contents.iter().collect::<HashSet<_>>().len(), 20 * 12);
}

#[tokio::test]
async fn too_much_is_refused_and_then_it_goes_on() {
    let (cluster, wire) = wired().await;
    let (ada, ben) = tokio::join!(person(&cluster, 0, "ada"), person(&cluster, 0, "ben"));
    let chat = group(&ada, &[&ben]).await;
    let backend = Arc::clone(&cluster.replicas[0].backend);
    let caller = Caller {
        user: ada.id.parse().unwrap(),
        session: SessionId::new(),
        way: Way::Live,
    };
    let id: ChatId = chat.parse().unwrap();
    let ask = || -> SendMessage { serde_json::from_value(json!({"content": "much"})).unwrap() };
    wire.set(Weather::Frozen);
    let sends = (0..6_000).map(|_| send::send(&backend, &caller, id, ask()));
    let outcomes = join_all(sends).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Err(Error::Unavailable(_)))),
        "all of them are told to come back"
    );
    let metrics = cluster.ops(0).get("/metrics").await.unwrap().text;
    let count = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(count("messenger_lane_refused_total{reason=\"full\"}") > 1_000);
    assert!(count("messenger_lane_refused_total{reason=\"late\"}") > 1_000);
    assert_eq!(count("messenger_lane_waiting"), 0);

    wire.set(Weather::Fine);
    while send::send(&backend, &caller, id, ask()).await.is_err() {}
    let outcomes = join_all((0..500).map(|_| send::send(&backend, &caller, id, ask()))).await;
    for outcome in outcomes {
        let message = outcome.unwrap().message;
        assert_eq!(message.content_type, ContentType::Text);
    }
    said(&cluster, &chat).await;
}

#[tokio::test]
async fn a_forgotten_transaction_is_not_the_next_ones() {
    let cluster = Cluster::start().await;
    let mut database = cluster.database().await;
    // What remains when somebody gives up while BEGIN is on its way.
    for (leaves_behind, stays) in [("select 1", true), ("begin", false)] {
        let mut connection = cluster.replicas[0].backend.db.read().acquire().await.unwrap();
        let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        sqlx::raw_sql(leaves_behind)
            .execute(&mut *connection)
            .await
            .unwrap();
        drop(connection);
        // Given back, which happens behind the scenes.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let is_there: bool =
            sqlx::query_scalar("select exists (select from pg_stat_activity where pid = $1)")
                .bind(pid)
                .fetch_one(&mut database)
                .await
                .unwrap();
        assert_eq!(is_there, stays, "{leaves_behind}");
    }
}
