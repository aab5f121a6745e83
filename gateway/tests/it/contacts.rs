//! Contacts end, and people are blocked.

use gateway::features::contacts as feature;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tools::client::{Answer, rest::LoggedIn};

use crate::cluster::Cluster;

/// Two people accept each other. The id of their direct chat.
pub async fn befriend(a: &LoggedIn, b: &LoggedIn) -> String {
    let request = ask(a, b).await.expect(201).unwrap();
    let accept = format!("/api/contacts/{}/accept", request.str("id").unwrap());
    let contact = b.rest.post(&accept, None).await.unwrap().expect(200).unwrap();
    contact.str("id").unwrap().to_owned()
}

pub async fn block(who: &LoggedIn, whom: &str) -> Answer {
    let path = format!("/api/contacts/{whom}/block");
    who.rest.post(&path, None).await.unwrap()
}

/// What a person or the members of a chat were told, the oldest first. Receipts are left out: they come whenever somebody reads.
pub async fn told(database: &mut PgConnection, topic: &str) -> Vec<(String, Value)> {
    let log: Vec<(String, String)> =
        sqlx::query_as(
            "select kind, body from events
             where topic_id = $1 and kind not in ('messages_delivered', 'messages_read', 'chat_read') order by seq",
        )
            .bind(topic.parse::<uuid::Uuid>().unwrap())
            .fetch_all(database)
            .await
            .unwrap();
    log.into_iter()
        .map(|(kind, body)| (kind, serde_json::from_str(&body).unwrap()))
        .collect()
}

async fn ask(from: &LoggedIn, to: &LoggedIn) -> Answer {
    from.rest
        .post("/api/contacts/request", json!({"contactId": to.id}))
        .await
        .unwrap()
}

async fn unblock(who: &LoggedIn, whom: &str) -> Answer {
    let path = format!("/api/contacts/{whom}/block");
    who.rest.delete(&path).await.unwrap()
}

async fn contacts_of(who: &LoggedIn) -> Value {
    who.rest.get("/api/contacts").await.unwrap().expect(200).unwrap()["contacts"].clone()
}

async fn write(who: &LoggedIn, chat: &str) -> Answer {
    who.rest
        .post(
            &format!("/api/chats/{chat}/messages"),
            json!({"content": "Are you there?"}),
        )
        .await
        .unwrap()
}

async fn two(cluster: &Cluster) -> (LoggedIn, LoggedIn) {
    let ada = cluster.rest(0).register("ada").await.unwrap();
    let bob = cluster.rest(1).register("bob").await.unwrap();
    (ada, bob)
}

#[tokio::test]
async fn a_contact_ends_for_both_and_their_chat_stays() {
    let cluster = Cluster::start().await;
    let (ada, bob) = two(&cluster).await;
    let eve = cluster.rest(0).register("eve").await.unwrap();
    let mut chats = Vec::new();
    for kind in ["relationId", "contactId", "chatId"] {
        let chat = befriend(&ada, &bob).await;
        write(&bob, &chat).await.expect(201).unwrap();
        let id = contacts_of(&ada).await[0][kind].as_str().unwrap().to_owned();
        let path = format!("/api/contacts/{id}");
        if kind != "contactId" {
            eve.rest.delete(&path).await.unwrap().expect(404).unwrap();
        }
        ada.rest.delete(&path).await.unwrap().expect(204).unwrap();
        ada.rest.delete(&path).await.unwrap().expect(404).unwrap();
        for who in [&ada, &bob] {
            assert_eq!(contacts_of(who).await, json!([]));
            let refused = write(who, &chat).await.expect(403).unwrap();
            assert_eq!(refused["reason"], "NOT_CONTACTS");
            let history = who
                .rest
                .get(&format!("/api/chats/{chat}/messages"))
                .await
                .unwrap();
            assert_eq!(
                history["data"].as_array().unwrap().len(),
                chats.len() + 1,
                "all is still there"
            );
        }
        chats.push(chat);
    }
    assert!(chats.iter().all(|chat| *chat == chats[0]), "the same chat again");

    let mut database = cluster.database().await;
    for (who, other) in [(&ada, &bob), (&bob, &ada)] {
        let (kind, body) = told(&mut database, &who.id).await.pop().unwrap();
        assert_eq!(kind, "contact_ended");
        assert_eq!(
            (&body["userId"], &body["contactId"], &body["chatId"]),
            (&json!(who.id), &json!(other.id), &json!(chats[0]))
        );
    }

    let pending = ask(&ada, &bob).await.expect(201).unwrap();
    for id in [
        pending.str("id").unwrap(),
        &bob.id,
        &ada.id,
        &uuid::Uuid::nil().to_string(),
    ] {
        let path = format!("/api/contacts/{id}");
        ada.rest.delete(&path).await.unwrap().expect(404).unwrap();
    }
    ada.rest
        .delete("/api/contacts/nonsense")
        .await
        .unwrap()
        .expect(400)
        .unwrap();
}

#[tokio::test]
async fn a_block_keeps_the_relation_and_stops_the_conversation() {
    let cluster = Cluster::start().await;
    let (ada, bob) = two(&cluster).await;
    let chat = befriend(&ada, &bob).await;
    let group = json!({"name": "Both", "participantIds": [bob.id]});
    let group = ada.rest.post("/api/chats/group", group).await.unwrap();
    let before = contacts_of(&ada).await[0].clone();
    let mut database = cluster.database().await;
    let told_bob = told(&mut database, &bob.id).await.len();

    for kind in ["contactId", "relationId", "id", "id"] {
        let state = block(&ada, before[kind].as_str().unwrap())
            .await
            .expect(200)
            .unwrap();
        assert_eq!(state.body, json!({"contactId": bob.id, "isBlocked": true}));
    }
    let of_ada = contacts_of(&ada).await[0].clone();
    assert_eq!(
        (&of_ada["isBlocked"], &of_ada["contactStatus"], &of_ada["id"]),
        (&json!(true), &json!("blocked"), &json!(chat))
    );
    assert_eq!(
        (&of_ada["status"], &of_ada["lastSeen"]),
        (&json!("offline"), &Value::Null)
    );
    let of_bob = contacts_of(&bob).await[0].clone();
    assert_eq!(
        (&of_bob["isBlocked"], &of_bob["contactStatus"]),
        (&json!(false), &json!("accepted")),
        "he is not told"
    );
    for who in [&ada, &bob] {
        let refused = write(who, &chat).await.expect(403).unwrap();
        assert_eq!(refused["reason"], "UNREACHABLE");
        assert!(!refused.text.to_lowercase().contains("block"), "{}", refused.text);
        who.rest
            .get(&format!("/api/chats/{chat}"))
            .await
            .unwrap()
            .expect(200)
            .unwrap();
        write(who, group.str("id").unwrap()).await.expect(201).unwrap();
    }
    let refused = ask(&bob, &ada).await.expect(403).unwrap();
    assert_eq!(refused["reason"], "UNREACHABLE");
    ask(&ada, &bob).await.expect(403).unwrap();

    let (a, b) = (ada.id.parse().unwrap(), bob.id.parse().unwrap());
    for (who, other) in [(a, b), (b, a)] {
        let hidden = feature::hidden_from(&mut database, who, &[other, who])
            .await
            .unwrap();
        assert_eq!(hidden, [other].into());
        assert_eq!(feature::audience(&mut database, who).await.unwrap(), []);
    }

    for _ in 0..2 {
        let state = unblock(&ada, &bob.id).await.expect(200).unwrap();
        assert_eq!(state.body, json!({"contactId": bob.id, "isBlocked": false}));
    }
    assert_eq!(contacts_of(&ada).await[0], before, "as if nothing had been");
    write(&bob, &chat).await.expect(201).unwrap();
    for (who, other) in [(a, b), (b, a)] {
        assert!(
            feature::hidden_from(&mut database, who, &[other])
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(feature::audience(&mut database, who).await.unwrap(), [other]);
    }

    assert_eq!(
        told(&mut database, &bob.id).await.len(),
        told_bob,
        "nobody tells Bob"
    );
    let mine = told(&mut database, &ada.id).await;
    let seen: Vec<_> = mine
        .iter()
        .filter(|(kind, _)| kind == "contact_accepted")
        .map(|(_, body)| body["isBlocked"].clone())
        .collect();
    assert_eq!(
        seen,
        [json!(false), json!(true), json!(false)],
        "Ada's devices know"
    );
}

/// Both may block each other; one of them changing her mind is not enough.
#[tokio::test]
async fn two_blocks_are_undone_one_by_one() {
    let cluster = Cluster::start().await;
    let (ada, bob) = two(&cluster).await;
    let chat = befriend(&ada, &bob).await;
    block(&ada, &bob.id).await.expect(200).unwrap();
    block(&bob, &chat).await.expect(200).unwrap();
    unblock(&ada, &chat).await.expect(200).unwrap();
    write(&ada, &chat).await.expect(403).unwrap();
    assert_eq!(contacts_of(&ada).await[0]["isBlocked"], false);
    assert_eq!(contacts_of(&bob).await[0]["isBlocked"], true);
    unblock(&bob, &ada.id).await.expect(200).unwrap();
    write(&ada, &chat).await.expect(201).unwrap();
    // The block outlives the relation.
    block(&ada, &bob.id).await.expect(200).unwrap();
    bob.rest
        .delete(&format!("/api/contacts/{chat}"))
        .await
        .unwrap()
        .expect(204)
        .unwrap();
    ask(&bob, &ada).await.expect(403).unwrap();
    unblock(&ada, &chat).await.expect(200).unwrap();
    ask(&bob, &ada).await.expect(201).unwrap();
}

#[tokio::test]
async fn strangers_may_be_blocked_and_requests_end_with_it() {
    let cluster = Cluster::start().await;
    let (ada, bob) = two(&cluster).await;
    for (from, to) in [(&ada, &bob), (&bob, &ada)] {
        let request = ask(from, to).await.expect(201).unwrap();
        block(&ada, request.str("id").unwrap()).await.expect(200).unwrap();
        for who in [&ada, &bob] {
            let pending = who.rest.get("/api/contacts/pending").await.unwrap();
            assert_eq!(pending["requests"], json!([]));
            for what in ["accept", "reject"] {
                let path = format!("/api/contacts/{}/{what}", request.str("id").unwrap());
                who.rest.post(&path, None).await.unwrap().expect(404).unwrap();
            }
        }
        ask(&bob, &ada).await.expect(403).unwrap();
        unblock(&ada, &bob.id).await.expect(200).unwrap();
    }
    let mut database = cluster.database().await;
    for who in [&ada, &bob] {
        let kinds: Vec<_> = told(&mut database, &who.id).await;
        let kinds: Vec<_> = kinds.iter().map(|(kind, _)| &**kind).collect();
        let once = ["contact_requested", "contact_request_rejected"];
        assert_eq!(kinds, [once, once].concat(), "as after any rejection");
    }
    block(&ada, &ada.id).await.expect(400).unwrap();
    for id in [uuid::Uuid::nil(), uuid::Uuid::now_v7()] {
        block(&ada, &id.to_string()).await.expect(404).unwrap();
        unblock(&ada, &id.to_string()).await.expect(404).unwrap();
    }
    let eve = cluster.rest(1).register("eve").await.unwrap();
    let chat = befriend(&ada, &bob).await;
    block(&eve, &chat).await.expect(404).unwrap();
    block(&eve, "x").await.expect(400).unwrap();
}

/// A request that is made at the moment of the block does not survive it.
#[tokio::test]
async fn no_request_slips_through_a_block() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = gateway::config::Switch::Off).await;
    let (ada, bob) = two(&cluster).await;
    for _ in 0..20 {
        let (blocked, asked) = tokio::join!(block(&ada, &bob.id), ask(&bob, &ada));
        blocked.expect(200).unwrap();
        assert!([201, 403].contains(&asked.status), "{}", asked.text);
        let pending = ada.rest.get("/api/contacts/pending").await.unwrap();
        assert_eq!(pending["requests"], json!([]), "the request was {}", asked.status);
        unblock(&ada, &bob.id).await.expect(200).unwrap();
    }
}
