//! How far messages got: positions, ticks, and what authors are told.

use std::time::Duration;

use futures_util::future::join_all;
use gateway::{
    config::Switch,
    features::receipts::{Reached, mark_delivered},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tools::client::{Rest, rest::LoggedIn};
use uuid::Uuid;

use crate::cluster::Cluster;

/// A cluster without limits and so many people, on both replicas in turn.
async fn people(count: usize) -> (Cluster, Vec<LoggedIn>) {
    let cluster = Cluster::with(|config| config.limits.rate_limits = Switch::Off).await;
    let people = (0..count).map(|i| {
        let door = cluster.rest(i % 2);
        async move { door.register(&format!("person_{i}")).await.unwrap() }
    });
    let people = join_all(people).await;
    (cluster, people)
}

/// A group of all of them; the first owns it.
async fn group(people: &[LoggedIn]) -> String {
    let ids: Vec<_> = people[1..].iter().map(|person| &person.id).collect();
    let group = json!({"name": "Tea", "participantIds": ids});
    let group = people[0].rest.post("/api/chats/group", group).await.unwrap();
    group.expect(201).unwrap().str("id").unwrap().to_owned()
}

async fn say(who: &LoggedIn, chat: &str) -> String {
    let path = format!("/api/chats/{chat}/messages");
    let sent = who.rest.post(&path, json!({"content": "hello"})).await.unwrap();
    sent.expect(201).unwrap().str("id").unwrap().to_owned()
}

async fn read(who: &Rest, message: &str) -> u16 {
    who.post(&format!("/api/messages/{message}/read"), None)
        .await
        .unwrap()
        .status
}

async fn read_chat(who: &Rest, chat: &str) -> u16 {
    who.post(&format!("/api/chats/{chat}/read"), None)
        .await
        .unwrap()
        .status
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

async fn unread(who: &LoggedIn, chat: &str) -> Value {
    who.rest.get(&format!("/api/chats/{chat}")).await.unwrap().body["unreadCount"].clone()
}

/// The events of a kind that a person was told, in order. Their topic has no holes, and its times rise.
async fn told(database: &mut PgConnection, who: &LoggedIn, kind: &str) -> Vec<Value> {
    let rows: Vec<(i64, chrono::DateTime<chrono::Utc>, String, String)> =
        sqlx::query_as("select seq, at, kind, body from events where topic_id = $1 order by seq")
            .bind(who.id.parse::<Uuid>().unwrap())
            .fetch_all(database)
            .await
            .unwrap();
    assert!(
        rows.iter().zip(1..).all(|(row, place)| row.0 == place),
        "no holes"
    );
    assert!(rows.windows(2).all(|pair| pair[0].1 < pair[1].1), "times rise");
    let of_kind = rows.into_iter().filter(|row| row.2 == kind);
    of_kind.map(|row| serde_json::from_str(&row.3).unwrap()).collect()
}

fn all(lists: &[Value]) -> Vec<Value> {
    lists
        .iter()
        .flat_map(|list| list.as_array().unwrap().clone())
        .collect()
}

fn reached(chat: &str, user: &LoggedIn, upto: i64) -> Reached {
    Reached {
        chat: chat.parse().unwrap(),
        user: user.id.parse().unwrap(),
        upto,
    }
}

/// Until what is done behind the answers has been done.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    for _ in 0..200 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn reading_one_reads_all_before_it() {
    let (cluster, people) = people(3).await;
    let (ada, bob, carl) = (&people[0], &people[1], &people[2]);
    let chat = group(&people).await;
    let mut ids = Vec::new();
    for who in [ada, ada, bob, carl, ada] {
        ids.push(say(who, &chat).await);
    }
    assert_eq!(unread(bob, &chat).await, 4);
    assert_eq!(read(&bob.rest, &ids[3]).await, 204);
    assert_eq!(unread(bob, &chat).await, 1);
    let seen = history(ada, &chat).await;
    let status: Vec<_> = seen
        .iter()
        .map(|message| message["deliveryStatus"].as_str().unwrap())
        .collect();
    assert_eq!(status[..2], ["read", "read"]);
    assert_eq!((status[3], status[4]), ("read", "sent"));
    assert_eq!(seen[0]["readCount"], json!({"total": 2, "read": 1}));
    assert_eq!(
        seen[2]["readCount"],
        json!({"total": 2, "read": 0}),
        "one's own is not read by oneself"
    );

    let mut database = cluster.database().await;
    let of_ada = told(&mut database, ada, "messages_read").await;
    assert_eq!(of_ada.len(), 1, "one event for several messages");
    let list = of_ada[0].as_array().unwrap();
    let read_ids: Vec<_> = list.iter().map(|read| &read["messageId"]).collect();
    assert_eq!(read_ids, [&json!(ids[0]), &json!(ids[1])], "the oldest first");
    for read in list {
        assert_eq!(
            (&read["readBy"], &read["userId"], &read["chatId"]),
            (&json!(bob.id), &json!(bob.id), &json!(chat))
        );
        assert_eq!(read["readCount"], json!({"total": 2, "read": 1}));
        assert!(read["readAt"].is_string());
    }
    assert_eq!(
        all(&told(&mut database, carl, "messages_read").await)[0]["messageId"],
        json!(ids[3])
    );
    assert_eq!(told(&mut database, bob, "messages_read").await, [json!(null); 0]);
    let own = told(&mut database, bob, "chat_read").await;
    assert_eq!(own.len(), 1);
    assert_eq!(
        (&own[0]["upto"], &own[0]["unreadCount"], &own[0]["chatId"]),
        (&json!(4), &json!(1), &json!(chat))
    );

    // Again, an older one, one's own: nothing.
    for (who, id) in [(bob, &ids[3]), (bob, &ids[0]), (bob, &ids[2]), (ada, &ids[4])] {
        assert_eq!(read(&who.rest, id).await, 204);
    }
    assert_eq!(told(&mut database, ada, "messages_read").await.len(), 1);
    assert_eq!(told(&mut database, bob, "chat_read").await.len(), 1);
    assert_eq!(told(&mut database, ada, "chat_read").await.len(), 0);

    // The rest, by the chat.
    let elsewhere = cluster.rest(0).with_token(&bob.access_token);
    for _ in 0..3 {
        assert_eq!(read_chat(&elsewhere, &chat).await, 204);
    }
    assert_eq!(unread(bob, &chat).await, 0);
    assert_eq!(all(&told(&mut database, ada, "messages_read").await).len(), 3);
    let own = told(&mut database, bob, "chat_read").await;
    assert_eq!((own.len(), &own[1]["unreadCount"]), (2, &json!(0)));
    // Whoever has read it, has it: nobody is told of deliveries.
    assert_eq!(told(&mut database, ada, "messages_delivered").await.len(), 0);
    mark_delivered::note(
        &cluster.replicas[0].backend,
        &[reached(&chat, bob, 5), reached(&chat, carl, 5)],
    )
    .await
    .unwrap();
    assert_eq!(told(&mut database, ada, "messages_delivered").await.len(), 0);
}

#[tokio::test]
async fn who_may_read_and_how() {
    let (cluster, people) = people(3).await;
    let (ada, bob, eve) = (&people[0], &people[1], &people[2]);
    let chat = group(&people[..2]).await;
    let id = say(ada, &chat).await;
    for path in [
        format!("/api/messages/{id}/read"),
        format!("/api/chats/{chat}/read"),
    ] {
        for kind in [
            None,
            Some("application/json"),
            Some("application/x-www-form-urlencoded"),
            Some("image/png"),
        ] {
            let answer = bob.rest.raw(Method::POST, &path, kind, "").await.unwrap();
            assert_eq!((answer.status, &*answer.text), (204, ""));
        }
        eve.rest.post(&path, None).await.unwrap().expect(404).unwrap();
    }
    for path in [
        format!("/api/messages/{}/read", Uuid::new_v4()),
        format!("/api/chats/{}/read", Uuid::new_v4()),
    ] {
        bob.rest.post(&path, None).await.unwrap().expect(404).unwrap();
    }
    bob.rest
        .post("/api/messages/1/read", None)
        .await
        .unwrap()
        .expect(400)
        .unwrap();
    let mut database = cluster.database().await;
    sqlx::query("update participants set left_at = now() where user_id = $1")
        .bind(ada.id.parse::<Uuid>().unwrap())
        .execute(&mut database)
        .await
        .unwrap();
    let last = say(bob, &chat).await;
    for path in [
        format!("/api/messages/{last}/read"),
        format!("/api/chats/{chat}/read"),
    ] {
        let answer = ada.rest.post(&path, None).await.unwrap().expect(403).unwrap();
        assert_eq!(answer.body["reason"], "CHAT_LEFT");
    }
}

#[tokio::test]
async fn whom_it_does_not_concern_is_not_told() {
    let (cluster, people) = people(4).await;
    let (ada, bob, carl, dora) = (&people[0], &people[1], &people[2], &people[3]);
    let chat = group(&people).await;
    say(carl, &chat).await;
    let taken_back = say(ada, &chat).await;
    say(ada, &chat).await;
    ada.rest
        .delete(&format!("/api/messages/{taken_back}"))
        .await
        .unwrap()
        .expect(204)
        .unwrap();
    let mut database = cluster.database().await;
    let chat_id: Uuid = chat.parse().unwrap();
    sqlx::query("update participants set left_at = now() where user_id = $1")
        .bind(carl.id.parse::<Uuid>().unwrap())
        .execute(&mut database)
        .await
        .unwrap();
    let system = Uuid::now_v7();
    sqlx::query("insert into messages (id, chat_id, seq, content, content_type, created_at) values ($1, $2, 1000, 'x', 'system', now())")
        .bind(system)
        .bind(chat_id)
        .execute(&mut database)
        .await
        .unwrap();
    mark_delivered::note(
        &cluster.replicas[0].backend,
        &[reached(&chat, dora, 1000), reached(&chat, carl, 1000)],
    )
    .await
    .unwrap();
    assert_eq!(read(&bob.rest, &system.to_string()).await, 204);
    assert_eq!(unread(bob, &chat).await, 0);
    for kind in ["messages_delivered", "messages_read"] {
        assert_eq!(
            all(&told(&mut database, ada, kind).await).len(),
            1,
            "{kind}: what is deleted is not told"
        );
        assert_eq!(
            told(&mut database, carl, kind).await.len(),
            0,
            "{kind}: who left is not told"
        );
    }
    let read = &all(&told(&mut database, ada, "messages_read").await)[0];
    assert_eq!(
        read["readCount"],
        json!({"total": 2, "read": 1}),
        "who left does not count"
    );
}

/// Twenty people read the same messages at once, on both replicas: the last that the authors are told is what REST says.
#[tokio::test]
async fn a_crowd_reads_at_once() {
    let (cluster, people) = people(20).await;
    let chat = group(&people).await;
    let mut ids = Vec::new();
    for i in 0..9 {
        ids.push(say(&people[i % 3], &chat).await);
    }
    let reading = people.iter().enumerate().flat_map(|(i, person)| {
        let (ids, chat, doors) = (&ids, &chat, [cluster.rest(0), cluster.rest(1)]);
        (0..4).map(move |turn| {
            let door = doors[(i + turn) % 2].with_token(&person.access_token);
            async move {
                let status = match turn {
                    0..3 => read(&door, &ids[(i + 3 * turn) % 9]).await,
                    _ => read_chat(&door, chat).await,
                };
                assert_eq!(status, 204);
            }
        })
    });
    join_all(reading).await;
    let mut database = cluster.database().await;
    let seen = history(&people[0], &chat).await;
    for (i, message) in seen.iter().enumerate() {
        assert_eq!(message["readCount"], json!({"total": 19, "read": 19}));
        let of_author = all(&told(&mut database, &people[i % 3], "messages_read").await);
        let of_message: Vec<_> = of_author
            .iter()
            .filter(|read| read["messageId"] == message["id"])
            .collect();
        let counts: Vec<_> = of_message
            .iter()
            .map(|read| read["readCount"]["read"].as_i64().unwrap())
            .collect();
        assert_eq!(of_message.len(), 19, "each reader once");
        assert!(counts.is_sorted(), "{counts:?}");
        assert_eq!(of_message[18]["readCount"], message["readCount"]);
        let mut readers: Vec<_> = of_message
            .iter()
            .map(|read| read["readBy"].as_str().unwrap())
            .collect();
        readers.sort_unstable();
        readers.dedup();
        assert_eq!(readers.len(), 19);
    }
    for person in &people {
        let own = told(&mut database, person, "chat_read").await;
        let places: Vec<_> = own.iter().map(|read| read["upto"].as_i64().unwrap()).collect();
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
        assert_eq!(own.last().unwrap()["unreadCount"], unread(person, &chat).await);
        assert_eq!(unread(person, &chat).await, 0);
    }
}

#[tokio::test]
async fn authors_hear_of_the_first_delivery_only() {
    let (cluster, people) = people(20).await;
    let (ada, bob) = (&people[0], &people[1]);
    let chat = group(&people).await;
    let mut ids = Vec::new();
    for i in 0..6 {
        ids.push(say(&people[i % 2], &chat).await);
    }
    // Everybody gets everything at once, on both replicas, in batches of several people, and in several steps.
    let backends = [&cluster.replicas[0].backend, &cluster.replicas[1].backend];
    let noting = (0..40).map(|i| {
        let (chat, people) = (&chat, &people);
        async move {
            let batch: Vec<_> = (0..7)
                .map(|j| reached(chat, &people[(i * 3 + j * 5) % 20], 1 + (i + j) as i64 % 6))
                .collect();
            mark_delivered::note(backends[i % 2], &batch).await.unwrap();
        }
    });
    join_all(noting).await;
    let everybody: Vec<_> = people.iter().map(|person| reached(&chat, person, 6)).collect();
    mark_delivered::note(backends[0], &everybody).await.unwrap();
    let mut database = cluster.database().await;
    for (author, expected) in [(ada, [0, 2, 4]), (bob, [1, 3, 5])] {
        let delivered = all(&told(&mut database, author, "messages_delivered").await);
        let mut of: Vec<_> = delivered
            .iter()
            .map(|event| event["messageId"].as_str().unwrap())
            .collect();
        of.sort_unstable();
        let mut expected: Vec<_> = expected.iter().map(|i| &*ids[*i]).collect();
        expected.sort_unstable();
        assert_eq!(of, expected, "each message once");
        for event in &delivered {
            assert_eq!(
                (&event["status"], &event["chatId"]),
                (&json!("delivered"), &json!(chat))
            );
            assert_eq!(event["deliveredTo"], event["userId"]);
            assert_ne!(
                event["deliveredTo"],
                json!(author.id),
                "one's own message never reaches oneself"
            );
        }
    }
    assert!(
        history(ada, &chat)
            .await
            .iter()
            .all(|message| message["deliveryStatus"] == "delivered")
    );

    // Only its author has it: nobody does.
    say(ada, &chat).await;
    mark_delivered::note(backends[1], &[reached(&chat, ada, 7)])
        .await
        .unwrap();
    assert_eq!(history(ada, &chat).await[6]["deliveryStatus"], "sent");
    mark_delivered::note(backends[1], &[]).await.unwrap();
}

#[tokio::test]
async fn what_was_fetched_has_arrived() {
    let (cluster, people) = people(2).await;
    let (ada, bob) = (&people[0], &people[1]);
    let chat = group(&people).await;
    for _ in 0..3 {
        say(ada, &chat).await;
    }
    history(ada, &chat).await;
    assert_eq!(
        history(ada, &chat).await[2]["deliveryStatus"],
        "sent",
        "one's own fetching delivers nothing"
    );
    history(bob, &chat).await;
    let delivered = until("the author is told", async || {
        let delivered = all(&told(&mut cluster.database().await, ada, "messages_delivered").await);
        (!delivered.is_empty()).then_some(delivered)
    })
    .await;
    assert_eq!(delivered.len(), 3);
    assert_eq!(history(ada, &chat).await[2]["deliveryStatus"], "delivered");
    history(bob, &chat).await;
    assert_eq!(
        told(&mut cluster.database().await, ada, "messages_delivered")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn thousands_of_messages_are_not_told_one_by_one() {
    let (cluster, people) = people(2).await;
    let (ada, bob) = (&people[0], &people[1]);
    let chat = group(&people).await;
    let mut database = cluster.database().await;
    sqlx::query(
        "insert into messages (id, chat_id, seq, sender_id, content, content_type, created_at)
         select gen_random_uuid(), $1, n, $2, 'x', 'text', now() + n * interval '1 microsecond' from generate_series(1, 3000) n",
    )
    .bind(chat.parse::<Uuid>().unwrap())
    .bind(ada.id.parse::<Uuid>().unwrap())
    .execute(&mut database)
    .await
    .unwrap();
    mark_delivered::note(&cluster.replicas[0].backend, &[reached(&chat, bob, 3000)])
        .await
        .unwrap();
    assert_eq!(read_chat(&bob.rest, &chat).await, 204);
    let newest: Vec<Uuid> =
        sqlx::query_scalar("select id from messages where chat_id = $1 and seq > 2500 order by seq")
            .bind(chat.parse::<Uuid>().unwrap())
            .fetch_all(&mut database)
            .await
            .unwrap();
    for kind in ["messages_delivered", "messages_read"] {
        let events = told(&mut database, ada, kind).await;
        assert!(
            events.iter().all(|event| event.as_array().unwrap().len() == 100),
            "{kind}"
        );
        let ids: Vec<Uuid> = all(&events)
            .iter()
            .map(|event| event["messageId"].as_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(ids, newest, "{kind}: the newest, the oldest of them first");
    }
    assert_eq!(unread(bob, &chat).await, 0);
}
