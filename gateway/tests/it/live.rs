//! Live connections where it hurts: slow readers, broken lines, replicas that leave, Redis that is away. The wire itself is tested
//! with the official clients in `tools/contract`.

use std::time::Duration;

use gateway::config::Switch;
use serde_json::{Value, json};
use shared::secret::Secret;
use tools::client::{Socket, rest::LoggedIn};

use crate::{
    cluster::Cluster,
    weather::{Weather, Wire, target_of, through},
};

const SOON: Duration = Duration::from_secs(10);

async fn group(owner: &LoggedIn, members: &[&LoggedIn]) -> String {
    let ids: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
    let ask = json!({"name": "group", "participantIds": ids});
    let chat = owner.rest.post("/api/chats/group", ask).await.unwrap();
    chat.expect(201).unwrap().str("id").unwrap().to_owned()
}

async fn say(who: &LoggedIn, chat: &str, text: &str) -> Value {
    let path = format!("/api/chats/{chat}/messages");
    let sent = who.rest.post(&path, json!({"content": text})).await.unwrap();
    sent.expect(201).unwrap().body
}

async fn open(cluster: &Cluster, replica: usize, who: &LoggedIn) -> Socket {
    let mut socket = Socket::open(cluster.rest(replica).base(), &who.access_token)
        .await
        .unwrap();
    socket.hear("connection:success", |_| true).await.unwrap();
    socket
}

/// The contents of the next messages, as many as are wanted.
async fn hear_messages(socket: &mut Socket, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let message = socket.hear("message:new", |_| true).await.unwrap();
        texts.push(message["content"].as_str().unwrap().to_owned());
    }
    texts
}

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| number.to_string()).collect()
}

/// A cluster without limits, with two people in a group, one on each replica.
async fn two_people(change: impl Fn(&mut gateway::config::Config)) -> (Cluster, LoggedIn, LoggedIn, String) {
    let cluster = Cluster::with(|config| {
        config.limits.rate_limits = Switch::Off;
        change(config);
    })
    .await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let chat = group(&ada, &[&bob]).await;
    (cluster, ada, bob, chat)
}

#[tokio::test]
async fn a_slow_reader_is_closed_harms_nobody_and_gets_everything_when_it_returns() {
    let (cluster, ada, bob, chat) = two_people(|_| {}).await;
    let mut slow = open(&cluster, 1, &bob).await;
    let mut quick = open(&cluster, 1, &bob).await;
    slow.reads(false);
    // More than the buffers of two sockets and our queue take.
    let long = "x".repeat(9_000);
    let count = 1_800;
    let mut sender = open(&cluster, 0, &ada).await;
    let mut acks = Vec::new();
    for number in 0..count {
        let text = format!("{number} {long}");
        acks.push(sender.ask_later("message:send", &json!({"chatId": chat, "content": text})));
        // Not more at once than a socket may have waiting.
        if acks.len() == 50 {
            for ack in acks.drain(..) {
                assert_eq!(ack.await.unwrap()["success"], true);
            }
        }
    }
    let number = |text: &str| text.split_once(' ').unwrap().0.parse::<usize>().unwrap();
    let quick_heard = hear_messages(&mut quick, count).await;
    assert!(quick_heard.iter().map(|text| number(text)).eq(0..count));

    // The replica has let go of it, whether or not its client ever reads again: because its queue was full or, on a machine so slow
    // that this took longer, because it answered no ping.
    for attempt in 0.. {
        let metrics = cluster.ops(1).get("/metrics").await.unwrap().text;
        if metrics.contains("messenger_connections 1\n") {
            break;
        }
        assert!(attempt < 100, "the slow one is still connected:\n{metrics}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    slow.reads(true);
    let mut heard: Vec<usize> = Vec::new();
    while let Some(event) = slow.next(SOON).await {
        if event.name == "message:new" {
            heard.push(number(event.payload["content"].as_str().unwrap()));
        }
    }
    assert!(
        heard.iter().copied().eq(0..heard.len()),
        "in order, without a hole"
    );
    assert!(heard.len() < count, "not everything: it was closed");

    // It comes back, and hears what it has missed although its person's other socket has heard it all.
    let mut back = open(&cluster, 0, &bob).await;
    while heard.last() != Some(&(count - 1)) {
        let message = back.hear("message:new", |_| true).await.unwrap();
        let number = number(message["content"].as_str().unwrap());
        if !heard.contains(&number) {
            heard.push(number);
        }
    }
    assert!(heard.into_iter().eq(0..count));
}

#[tokio::test]
async fn a_broken_line_loses_nothing() {
    let (cluster, ada, bob, chat) = two_people(|_| {}).await;
    let line = Wire::to(cluster.replicas[1].address).await;
    let base = format!("http://{}", line.address);
    let mut socket = Socket::open(&base, &bob.access_token).await.unwrap();
    socket.hear("connection:success", |_| true).await.unwrap();
    say(&ada, &chat, "0").await;
    assert_eq!(hear_messages(&mut socket, 1).await, ["0"]);
    // Nothing arrives any more, but nobody knows it yet.
    line.set(Weather::Frozen);
    for number in 1..5 {
        say(&ada, &chat, &number.to_string()).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    line.set(Weather::Cut);
    socket.ended(SOON).await.unwrap();
    say(&ada, &chat, "5").await;
    line.set(Weather::Fine);
    // The replica may learn of the break a moment later than the client.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut back = Socket::open(&base, &bob.access_token).await.unwrap();
    let mut heard = hear_messages(&mut back, 1).await;
    while heard.last().unwrap() != "5" {
        heard.extend(hear_messages(&mut back, 1).await);
    }
    heard.retain(|text| text != "0");
    assert_eq!(heard, numbered(1, 6));
}

#[tokio::test]
async fn a_cursor_gets_exactly_what_is_missing() {
    let (cluster, ada, bob, chat) = two_people(|_| {}).await;
    let first = say(&ada, &chat, "0").await;
    let second = say(&ada, &chat, "1").await;
    let path = format!("/api/messages/{}", second["id"].as_str().unwrap());
    ada.rest
        .put(&path, json!({"content": "one"}))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    let mut known = open(&cluster, 0, &bob).await;
    assert_eq!(hear_messages(&mut known, 2).await, ["0", "one"]);
    let hello = json!({"token": bob.access_token, "positions": {&chat: first["seq"]}});
    let mut resumed = Socket::open_with(cluster.rest(1).base(), hello).await.unwrap();
    let welcome = resumed.hear("connection:success", |_| true).await.unwrap();
    assert!(welcome["positions"][&chat].as_i64() > first["seq"].as_i64());
    let sent = resumed.next(SOON).await.unwrap();
    assert_eq!(
        (sent.name.as_str(), &sent.payload["content"]),
        ("message:new", &json!("1"))
    );
    let edited = resumed.next(SOON).await.unwrap();
    assert_eq!(
        (edited.name.as_str(), &edited.payload["content"]),
        ("message:edited", &json!("one"))
    );

    let hello = json!({"token": bob.access_token, "positions": {&chat: 1_000}});
    let mut lost = Socket::open_with(cluster.rest(1).base(), hello).await.unwrap();
    let told = lost.hear("resync", |_| true).await.unwrap();
    assert_eq!(
        (&told["chatId"], &told["reason"]),
        (&json!(chat), &json!("unknown_position"))
    );
}

#[tokio::test]
async fn while_redis_is_away_events_arrive_and_nothing_is_lost() {
    for weather in [Weather::Cut, Weather::Frozen] {
        let redis = Wire::to(target_of(&crate::cluster::services().redis_url)).await;
        let address = redis.address;
        let (cluster, ada, bob, chat) = two_people(|config| {
            config.redis.url = Secret::new(through(config.redis.url.expose(), address));
        })
        .await;
        let mut here = open(&cluster, 0, &bob).await;
        let mut there = open(&cluster, 1, &bob).await;
        say(&ada, &chat, "0").await;
        assert_eq!(hear_messages(&mut there, 1).await, ["0"], "{weather:?}");
        redis.set(weather);
        for number in 1..20 {
            say(&ada, &chat, &number.to_string()).await;
            if number == 10 {
                assert_eq!(hear_messages(&mut here, 11).await, numbered(0, 11));
                let waited = std::time::Instant::now();
                assert_eq!(hear_messages(&mut there, 10).await, numbered(1, 11));
                assert!(
                    waited.elapsed() < Duration::from_secs(3),
                    "{:?}",
                    waited.elapsed()
                );
                redis.set(Weather::Fine);
            }
        }
        assert_eq!(
            hear_messages(&mut there, 9).await,
            numbered(11, 20),
            "{weather:?}"
        );
        // The link is back soon, and then it is quick again.
        let started = std::time::Instant::now();
        while !cluster
            .ops(1)
            .get("/metrics")
            .await
            .unwrap()
            .text
            .contains("messenger_link_up 1")
        {
            assert!(started.elapsed() < SOON);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        say(&ada, &chat, "20").await;
        assert_eq!(hear_messages(&mut there, 1).await, ["20"]);
    }
}

#[tokio::test]
async fn a_leaving_replica_says_goodbye_and_its_clients_find_everything_elsewhere() {
    let (mut cluster, ada, bob, chat) = two_people(|_| {}).await;
    let mut socket = open(&cluster, 1, &bob).await;
    let leaving = cluster.replicas.remove(1);
    let address = leaving.address;
    let leave = leaving.stop();
    let told = async {
        socket.hear("server:shutdown", |_| true).await.unwrap();
        socket.ended(SOON).await.unwrap();
    };
    let started = std::time::Instant::now();
    tokio::join!(leave, told);
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    assert!(
        Socket::open(&format!("http://{address}"), &bob.access_token)
            .await
            .is_err()
    );
    say(&ada, &chat, "0").await;
    let mut back = open(&cluster, 0, &bob).await;
    assert_eq!(hear_messages(&mut back, 1).await, ["0"]);
}

#[tokio::test]
async fn who_is_removed_hears_nothing_more_however_busy_the_chat_is() {
    let (cluster, ada, bob, chat) = two_people(|_| {}).await;
    let mut sockets = [open(&cluster, 0, &bob).await, open(&cluster, 1, &bob).await];
    let mut sender = open(&cluster, 0, &ada).await;
    let mut acks = Vec::new();
    let text = |number: usize| json!({"chatId": chat, "content": number.to_string()});
    for number in 0..100 {
        acks.push(sender.ask_later("message:send", &text(number)));
    }
    let path = format!("/api/chats/{chat}/participants/{}", bob.id);
    ada.rest.delete(&path).await.unwrap().expect(200).unwrap();
    for number in 100..200 {
        acks.push(sender.ask_later("message:send", &text(number)));
    }
    let mut seqs = Vec::new();
    for ack in acks {
        seqs.push(ack.await.unwrap()["message"]["seq"].as_i64().unwrap());
    }
    // Removed at one place in the chat's order: everything before it is heard, nothing behind it.
    let removed: i64 =
        sqlx::query_scalar("select seq from events where kind = 'member_left' and topic_id = $1::uuid")
            .bind(chat.parse::<uuid::Uuid>().unwrap())
            .fetch_one(&mut cluster.database().await)
            .await
            .unwrap();
    let before: Vec<i64> = seqs.into_iter().filter(|seq| *seq < removed).collect();
    for socket in &mut sockets {
        let mut heard = Vec::new();
        while let Some(event) = socket.next(Duration::from_millis(700)).await {
            if event.name == "message:new" {
                heard.push(event.payload["seq"].as_i64().unwrap());
            }
        }
        assert_eq!(heard, before);
    }
    let mut late = Socket::open_with(
        cluster.rest(0).base(),
        json!({"token": bob.access_token, "positions": {&chat: 0}}),
    )
    .await
    .unwrap();
    let told = late.hear("resync", |_| true).await.unwrap();
    assert_eq!(told["chatId"], json!(chat));
    assert!(
        late.heard_so_far()
            .iter()
            .all(|heard| heard.name != "message:new")
    );
}

#[tokio::test]
async fn a_killed_replica_leaves_no_ghosts() {
    let (mut cluster, ada, bob, _) = two_people(|_| {}).await;
    let request = ada
        .rest
        .post("/api/contacts/request", json!({"contactId": bob.id}))
        .await
        .unwrap();
    let accept = format!("/api/contacts/{}/accept", request.str("id").unwrap());
    bob.rest.post(&accept, None).await.unwrap().expect(200).unwrap();
    let mut watching = open(&cluster, 0, &ada).await;
    let bobs = open(&cluster, 1, &bob).await;
    watching
        .hear("user:status", |told| {
            told["userId"] == bob.id.as_str() && told["status"] == "online"
        })
        .await
        .unwrap();
    // As with kill -9: nothing of it runs any more, and nobody said goodbye to Redis.
    cluster.replicas.remove(1).tasks.cut();
    drop(bobs);
    let started = std::time::Instant::now();
    watching
        .hear("user:status", |told| {
            told["userId"] == bob.id.as_str() && told["status"] == "offline"
        })
        .await
        .unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
}

/// Ten people send as fast as they are answered, from both replicas. Every acknowledged message reaches every socket of everybody
/// once, and all sockets agree on the order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_reaches_every_socket_once_and_in_one_order() {
    const PEOPLE: usize = 10;
    const EACH: usize = 60;
    let cluster = Cluster::with(|config| {
        config.limits.rate_limits = Switch::Off;
        config.database.max_connections = 20;
    })
    .await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(
            cluster
                .rest(number % 2)
                .register(&format!("person_{number}"))
                .await
                .unwrap(),
        );
    }
    let others: Vec<&LoggedIn> = people[1..].iter().collect();
    let chat = group(&people[0], &others).await;
    let mut sockets = Vec::new();
    for person in &people {
        for replica in 0..2 {
            sockets.push(open(&cluster, replica, person).await);
        }
    }
    let started = std::time::Instant::now();
    let mut acks = Vec::new();
    for round in 0..EACH {
        for (number, socket) in sockets
            .iter_mut()
            .enumerate()
            .filter(|(number, _)| number % 4 < 2)
        {
            let message = json!({"chatId": chat, "content": format!("{number}:{round}")});
            acks.push(socket.ask_later("message:send", &message));
        }
    }
    let mut acknowledged = Vec::new();
    for ack in acks {
        let ack = ack.await.unwrap();
        assert_eq!(ack["success"], true, "{ack}");
        acknowledged.push((
            ack["message"]["seq"].as_i64().unwrap(),
            ack["messageId"].as_str().unwrap().to_owned(),
        ));
    }
    println!(
        "{} messages acknowledged in {:?}",
        acknowledged.len(),
        started.elapsed()
    );
    acknowledged.sort();
    for socket in &mut sockets {
        let mut heard = Vec::new();
        while heard.len() < acknowledged.len() {
            let message = socket.hear("message:new", |_| true).await.unwrap();
            heard.push((
                message["seq"].as_i64().unwrap(),
                message["id"].as_str().unwrap().to_owned(),
            ));
        }
        assert_eq!(heard, acknowledged);
    }
    println!("all heard after {:?}", started.elapsed());
    for socket in &mut sockets {
        assert!(
            socket
                .heard_so_far()
                .iter()
                .all(|event| event.name != "message:new"),
            "nothing twice"
        );
    }
}
