//! Contacts, chats and messages over REST: the first slice, from a request to a conversation.

use serde_json::{Value, json};
use tools::client::{Answer, rest::LoggedIn};

use crate::cluster::Cluster;

/// Two people on two replicas who have accepted each other, and their chat.
async fn contacts(cluster: &Cluster) -> (LoggedIn, LoggedIn, String) {
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let request = ada
        .rest
        .post("/api/contacts/request", json!({"contactId": bob.id}))
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    let accept = format!("/api/contacts/{}/accept", request.str("id").unwrap());
    let contact = bob.rest.post(&accept, None).await.unwrap().expect(200).unwrap();
    let chat = contact.str("id").unwrap().to_owned();
    (ada, bob, chat)
}

async fn send(who: &LoggedIn, chat: &str, body: Value) -> Answer {
    who.rest
        .post(&format!("/api/chats/{chat}/messages"), body)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_request_becomes_a_contact_with_a_chat() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    let ask = json!({"contactId": bob.id});
    let sent = ada
        .rest
        .post("/api/contacts/request", ask.clone())
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    assert_eq!(sent.body["request"]["receiver"]["username"], "bob");
    assert!(
        sent.body["request"].get("sender").is_none(),
        "the client would offer Ada to accept it"
    );
    let again = ada
        .rest
        .post("/api/contacts/request", ask)
        .await
        .unwrap()
        .expect(409)
        .unwrap();
    assert_eq!(again.body["reason"], "REQUEST_PENDING");
    bob.rest
        .post("/api/contacts", json!({"userId": ada.id}))
        .await
        .unwrap()
        .expect(409)
        .unwrap();

    assert_eq!(
        ada.rest.get("/api/contacts/pending").await.unwrap().body["requests"],
        json!([]),
        "only incoming ones"
    );
    let pending = bob.rest.get("/api/contacts/pending").await.unwrap().body["requests"].clone();
    assert_eq!(
        (&pending[0]["sender"]["username"], &pending[0]["status"]),
        (&json!("ada"), &json!("pending"))
    );
    let found = bob.rest.get("/api/users/search?q=ada").await.unwrap().body["users"][0].clone();
    assert_eq!(
        (&found["isContact"], &found["hasPendingRequest"]),
        (&json!(false), &json!(true))
    );

    let accept = format!("/api/contacts/{}/accept", pending[0]["id"].as_str().unwrap());
    ada.rest.post(&accept, None).await.unwrap().expect(403).unwrap();
    let stranger = cluster.rest(0).register("eve").await.unwrap();
    stranger
        .rest
        .post(&accept, None)
        .await
        .unwrap()
        .expect(404)
        .unwrap();
    bob.rest.put(&accept, None).await.unwrap().expect(200).unwrap();

    let of_ada = ada.rest.get("/api/contacts").await.unwrap().body["contacts"][0].clone();
    let of_bob = bob.rest.get("/api/contacts").await.unwrap().body["contacts"][0].clone();
    assert_eq!(
        (&of_ada["username"], &of_bob["username"]),
        (&json!("bob"), &json!("ada"))
    );
    assert_eq!(of_ada["id"], of_bob["id"], "one chat for both");
    assert_eq!(of_ada["contactId"], json!(bob.id));
    let found = bob.rest.get("/api/users/search?q=ada").await.unwrap().body["users"][0].clone();
    assert_eq!(
        (&found["isContact"], &found["hasPendingRequest"]),
        (&json!(true), &json!(false))
    );
    bob.rest
        .get(&format!("/api/users/{}", ada.id))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    let direct = ada
        .rest
        .post("/api/chats/direct", json!({"userId": bob.id}))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    assert_eq!(
        (&direct.body["id"], &direct.body["chat"]["id"]),
        (&of_ada["id"], &of_ada["id"])
    );
    assert_eq!(
        direct.body["participants"][0]["userId"],
        json!(ada.id),
        "who asks comes first"
    );
}

#[tokio::test]
async fn a_request_may_be_rejected_or_withdrawn() {
    let cluster = Cluster::start().await;
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    for who in [&bob, &ada] {
        let sent = ada
            .rest
            .post("/api/contacts/request", json!({"contactId": bob.id}))
            .await
            .unwrap()
            .expect(201)
            .unwrap();
        let reject = format!("/api/contacts/{}/reject", sent.str("id").unwrap());
        who.rest.post(&reject, None).await.unwrap().expect(200).unwrap();
        who.rest.post(&reject, None).await.unwrap().expect(404).unwrap();
    }
    for (body, status) in [
        (json!({"contactId": ada.id}), 400),
        (json!({}), 400),
        (json!({"contactId": uuid::Uuid::nil()}), 404),
    ] {
        ada.rest
            .post("/api/contacts/request", body)
            .await
            .unwrap()
            .expect(status)
            .unwrap();
    }
}

#[tokio::test]
async fn a_group_takes_people_and_chats_and_strangers() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = contacts(&cluster).await;
    let eve = cluster.rest(1).register("eve").await.unwrap();
    let ids = json!([chat, eve.id, eve.id, ada.id]);
    let group = ada
        .rest
        .post(
            "/api/chats/group",
            json!({"name": " Tea & Co ", "participantIds": ids}),
        )
        .await
        .unwrap();
    let group = group.expect(201).unwrap();
    assert_eq!(
        (&group.body["name"], &group.body["chat"]["type"]),
        (&json!("Tea & Co"), &json!("group"))
    );
    let who: Vec<_> = group.body["participants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["userId"].as_str().unwrap())
        .collect();
    assert_eq!(who.len(), 3);
    assert!(who[0] == ada.id && who.contains(&&*bob.id) && who.contains(&&*eve.id));
    let slug = format!("/api/chats/slug/{}", group.str("slug").unwrap());
    assert_eq!(
        eve.rest.get(&slug).await.unwrap().expect(200).unwrap().body["chat"]["id"],
        group.body["id"]
    );
    let outsider = cluster.rest(0).register("mallory").await.unwrap();
    for path in [slug, format!("/api/chats/{}", group.str("id").unwrap())] {
        outsider.rest.get(&path).await.unwrap().expect(404).unwrap();
    }
    let list = eve.rest.get("/api/chats").await.unwrap().expect(200).unwrap();
    assert_eq!(
        (&list.body["chats"][0]["id"], &list.body["hasMore"]),
        (&group.body["id"], &json!(false))
    );

    for (body, field) in [
        (json!({"name": "x", "participantIds": []}), "participantIds"),
        (json!({"name": "x", "participantIds": [ada.id]}), "participantIds"),
        (
            json!({"name": "x", "participantIds": ["no-id"]}),
            "participantIds[0]",
        ),
        (
            json!({"name": "x", "participantIds": [eve.id, uuid::Uuid::nil()]}),
            "participantIds[1]",
        ),
        (json!({"name": "", "participantIds": [eve.id]}), "name"),
        (
            json!({"name": "x", "participantIds": vec![uuid::Uuid::nil(); 5_000]}),
            "participantIds",
        ),
    ] {
        let answer = ada
            .rest
            .post("/api/chats/group", body)
            .await
            .unwrap()
            .expect(400)
            .unwrap();
        assert_eq!(answer.body["details"][0]["field"], field, "{}", answer.text);
    }
}

#[tokio::test]
async fn messages_are_sent_read_and_quoted() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = contacts(&cluster).await;
    let metadata = json!({"sentAt": 1_763_680_000_123.5, "z": 1, "a": [1.0, "ü\u{0}"]});
    let body = json!({"content": "  <b>Hi</b> Bob & all ", "metadata": metadata});
    let sent = send(&ada, &chat, body).await.expect(201).unwrap();
    assert_eq!(sent.body["content"], "<b>Hi</b> Bob &amp; all");
    assert_eq!(
        (&sent.body["metadata"], &sent.body["message"]["metadata"]),
        (&metadata, &metadata)
    );
    assert_eq!(
        (&sent.body["deliveryStatus"], &sent.body["senderId"]),
        (&json!("sent"), &json!(ada.id))
    );
    let reply = json!({"content": "Hello", "replyToId": sent.body["id"]});
    let reply = send(&bob, &chat, reply).await.expect(201).unwrap();
    assert_eq!(reply.body["replyTo"]["sender"]["username"], "ada");

    let page = bob
        .rest
        .get(&format!("/api/chats/{chat}/messages?limit=50"))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    let contents: Vec<_> = page.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["content"].clone())
        .collect();
    assert_eq!(
        contents,
        [sent.body["content"].clone(), json!("Hello")],
        "oldest first"
    );
    assert_eq!(
        ada.rest.get(&format!("/api/chats/{chat}")).await.unwrap().body["unreadCount"],
        1
    );

    let eve = cluster.rest(1).register("eve").await.unwrap();
    send(&eve, &chat, json!({"content": "let me in"}))
        .await
        .expect(404)
        .unwrap();
    eve.rest
        .get(&format!("/api/chats/{chat}/messages"))
        .await
        .unwrap()
        .expect(404)
        .unwrap();
    for body in [
        json!({"content": ""}),
        json!({"content": " \n "}),
        json!({"content": "x".repeat(10_001)}),
        json!({"content": "x", "contentType": "system"}),
        json!({"content": "x", "metadata": []}),
        json!({"content": "x", "metadata": null}),
        json!({"content": "x", "metadata": {"big": "x".repeat(17_000)}}),
        json!({"content": "x", "replyToId": uuid::Uuid::nil()}),
        json!({"content": "x", "clientMessageId": "with space"}),
        json!({"content": "x\u{0}"}),
    ] {
        send(&ada, &chat, body).await.expect(400).unwrap();
    }
}

#[tokio::test]
async fn no_page_border_loses_a_message() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = contacts(&cluster).await;
    let send_all = async |who: &LoggedIn, name: &str| {
        for i in 0..8 {
            send(who, &chat, json!({"content": format!("{name} {i}")}))
                .await
                .expect(201)
                .unwrap();
        }
    };
    tokio::join!(send_all(&ada, "ada"), send_all(&bob, "bob"));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ada
            .rest
            .get(&format!("/api/chats/{chat}/messages?limit=3{cursor}"))
            .await
            .unwrap()
            .expect(200)
            .unwrap();
        let data = page.body["data"].as_array().unwrap().clone();
        let times: Vec<_> = data
            .iter()
            .map(|message| message["createdAt"].as_str().unwrap())
            .collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(page.body["cursor"], data[0]["createdAt"]);
        cursor = format!("&cursor={}", times[0]);
        seen.splice(0..0, data.iter().map(|message| message["id"].clone()));
        if page.body["hasMore"] == false {
            assert_eq!(page.body["nextCursor"], Value::Null);
            break;
        }
    }
    let whole = bob
        .rest
        .get(&format!("/api/chats/{chat}/messages?limit=100"))
        .await
        .unwrap();
    let whole: Vec<_> = whole.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["id"].clone())
        .collect();
    assert_eq!((seen.len(), seen), (16, whole));
    for cursor in ["yesterday", "-4800-01-01T00:00:00Z"] {
        let answer = ada
            .rest
            .get(&format!("/api/chats/{chat}/messages?cursor={cursor}"))
            .await
            .unwrap();
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_repeated_send_is_one_message() {
    let cluster = Cluster::start().await;
    let (ada, _, chat) = contacts(&cluster).await;
    let doors = [
        cluster.rest(0).with_token(&ada.access_token),
        cluster.rest(1).with_token(&ada.access_token),
    ];
    let path = format!("/api/chats/{chat}/messages");
    let body = json!({"content": "once", "clientMessageId": "key-1"});
    let tries = (0..8).map(|i| doors[i % 2].post(&path, body.clone()));
    let answers: Vec<_> = futures_util::future::join_all(tries)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in &answers {
        assert_eq!(answer.body["id"], answers[0].body["id"]);
        assert_eq!(
            answer.header("idempotent-replay"),
            (answer.status == 200).then_some("true")
        );
    }
    let by_header = ada
        .rest
        .with_header("idempotency-key", "key-1")
        .post(&path, json!({"content": "x"}))
        .await
        .unwrap();
    assert_eq!(
        (by_header.status, &by_header.body["content"]),
        (200, &json!("once"))
    );
    let eve = cluster.rest(0).register("eve").await.unwrap();
    let group = json!({"name": "g", "participantIds": [eve.id]});
    let group = ada.rest.post("/api/chats/group", group).await.unwrap();
    send(&ada, group.str("id").unwrap(), body)
        .await
        .expect(409)
        .unwrap();
}

/// Every change is in the log, in the order it was made, without holes.
#[tokio::test]
async fn the_log_has_no_holes() {
    let cluster = Cluster::start().await;
    let (ada, bob, chat) = contacts(&cluster).await;
    tokio::join!(
        async {
            for i in 0..5 {
                send(&ada, &chat, json!({"content": format!("a{i}")}))
                    .await
                    .expect(201)
                    .unwrap();
            }
        },
        async {
            for i in 0..5 {
                send(&bob, &chat, json!({"content": format!("b{i}")}))
                    .await
                    .expect(201)
                    .unwrap();
            }
        },
    );
    let mut database = cluster.database().await;
    let chat: uuid::Uuid = chat.parse().unwrap();
    let log: Vec<(i64, String)> =
        sqlx::query_as("select seq, body::json->>'id' from events where topic_id = $1 order by seq")
            .bind(chat)
            .fetch_all(&mut database)
            .await
            .unwrap();
    let messages: Vec<(i64, String)> =
        sqlx::query_as("select seq, id::text from messages where chat_id = $1 order by created_at")
            .bind(chat)
            .fetch_all(&mut database)
            .await
            .unwrap();
    assert_eq!(log, messages);
    assert_eq!(
        log.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        (1..=10).collect::<Vec<_>>()
    );
    let told: Vec<String> = sqlx::query_scalar("select kind from events where topic_id = $1 order by seq")
        .bind(bob.id.parse::<uuid::Uuid>().unwrap())
        .fetch_all(&mut database)
        .await
        .unwrap();
    assert_eq!(told, ["contact_requested", "chat_started", "contact_accepted"]);
}
