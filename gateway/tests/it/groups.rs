//! Groups change: their name, who is in them, who owns them, and whether they are there at all.

use serde_json::{Value, json};
use sqlx::PgConnection;
use tools::client::{Answer, rest::LoggedIn};

use crate::{
    cluster::Cluster,
    contacts::{befriend, block, told},
};

/// People on alternating replicas.
async fn people<const N: usize>(cluster: &Cluster, names: [&str; N]) -> [LoggedIn; N] {
    let mut people = Vec::new();
    for (i, name) in names.iter().enumerate() {
        people.push(cluster.rest(i % 2).register(name).await.unwrap());
    }
    people.try_into().unwrap()
}

async fn start(owner: &LoggedIn, members: &[&LoggedIn]) -> Answer {
    let ids: Vec<_> = members.iter().map(|member| &member.id).collect();
    let body = json!({"name": "Tea", "participantIds": ids});
    let answer = owner.rest.post("/api/chats/group", body).await.unwrap();
    answer.expect(201).unwrap()
}

async fn rename(who: &LoggedIn, chat: &str, name: &str) -> Answer {
    let path = format!("/api/chats/{chat}");
    who.rest.put(&path, json!({"name": name})).await.unwrap()
}

async fn delete(who: &LoggedIn, chat: &str) -> Answer {
    who.rest.delete(&format!("/api/chats/{chat}")).await.unwrap()
}

async fn add(who: &LoggedIn, chat: &str, body: Value) -> Answer {
    let path = format!("/api/chats/{chat}/participants");
    who.rest.post(&path, body).await.unwrap()
}

async fn remove(who: &LoggedIn, chat: &str, whom: &LoggedIn) -> Answer {
    let path = format!("/api/chats/{chat}/participants/{}", whom.id);
    who.rest.delete(&path).await.unwrap()
}

async fn leave(who: &LoggedIn, chat: &str) -> Answer {
    let path = format!("/api/chats/{chat}/leave");
    who.rest.post(&path, None).await.unwrap()
}

async fn write(who: &LoggedIn, chat: &str, content: &str) -> Answer {
    let path = format!("/api/chats/{chat}/messages");
    who.rest.post(&path, json!({"content": content})).await.unwrap()
}

async fn look(who: &LoggedIn, chat: &str) -> Answer {
    who.rest.get(&format!("/api/chats/{chat}")).await.unwrap()
}

/// The roles of the members, by name.
async fn roles(who: &LoggedIn, chat: &str) -> Vec<(String, String)> {
    let chat = look(who, chat).await.expect(200).unwrap();
    let mut roles: Vec<_> = chat["participants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&p["user"]["username"]), text(&p["role"]))
        })
        .collect();
    assert_eq!(chat["participantCount"], roles.len());
    let owners: Vec<_> = roles.iter().filter(|(_, role)| role == "owner").collect();
    assert_eq!(owners.len(), 1, "{roles:?}");
    let owner = chat["participants"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["role"] == "owner");
    assert_eq!(owner.unwrap()["userId"], chat["ownerId"]);
    roles.sort();
    roles
}

async fn contents(who: &LoggedIn, chat: &str) -> Vec<String> {
    let page = who
        .rest
        .get(&format!("/api/chats/{chat}/messages"))
        .await
        .unwrap();
    let page = page.expect(200).unwrap();
    let data = page["data"].as_array().unwrap().iter();
    data.map(|message| message["content"].as_str().unwrap().to_owned())
        .collect()
}

async fn kinds(database: &mut PgConnection, topic: &str) -> Vec<String> {
    let told = told(database, topic).await;
    told.into_iter().map(|(kind, _)| kind).collect()
}

/// Nothing of the group is left to this person but the answer that they were in it.
async fn is_locked_out(who: &LoggedIn, chat: &Answer) {
    let id = chat.str("id").unwrap();
    let slug = chat.str("slug").unwrap();
    for path in [
        format!("/api/chats/{id}"),
        format!("/api/chats/slug/{slug}"),
        format!("/api/chats/{id}/messages"),
    ] {
        let refused = who.rest.get(&path).await.unwrap().expect(403).unwrap();
        assert_eq!(refused["reason"], "CHAT_LEFT");
    }
    for refused in [
        write(who, id, "but").await,
        rename(who, id, "Coffee").await,
        add(who, id, json!({"userId": who.id})).await,
        remove(who, id, who).await,
        leave(who, id).await,
        delete(who, id).await,
    ] {
        assert_eq!(refused.expect(403).unwrap()["reason"], "CHAT_LEFT");
    }
    let chats = who.rest.get("/api/chats").await.unwrap()["chats"].clone();
    assert!(chats.as_array().unwrap().iter().all(|chat| chat["id"] != id));
}

#[tokio::test]
async fn owners_and_admins_rename_a_group() {
    let cluster = Cluster::start().await;
    let [ada, bob, carl, eve] = people(&cluster, ["ada", "bob", "carl", "eve"]).await;
    let group = start(&ada, &[&bob]).await;
    let chat = group.str("id").unwrap();
    add(&ada, chat, json!({"userId": carl.id, "role": "admin"}))
        .await
        .expect(201)
        .unwrap();
    let renamed = rename(&ada, chat, "  <b>Tea</b> & Coffee ")
        .await
        .expect(200)
        .unwrap();
    assert_eq!(
        (&renamed["name"], &renamed["chat"]["name"]),
        (&json!("Tea & Coffee"), &json!("Tea & Coffee"))
    );
    assert_eq!(renamed["slug"], group["slug"], "people have passed it on");
    assert!(renamed["updatedAt"].as_str() > group["updatedAt"].as_str());
    rename(&carl, chat, "Cocoa").await.expect(200).unwrap();
    rename(&carl, chat, "Cocoa").await.expect(200).unwrap();
    assert_eq!(
        rename(&bob, chat, "Mine").await.expect(403).unwrap()["reason"],
        "NOT_ADMIN"
    );
    rename(&eve, chat, "Mine").await.expect(404).unwrap();
    for body in [json!({}), json!({"name": " "}), json!({"name": "x".repeat(101)})] {
        let path = format!("/api/chats/{chat}");
        ada.rest.put(&path, body).await.unwrap().expect(400).unwrap();
    }
    assert_eq!(look(&bob, chat).await["name"], "Cocoa");
    let said = contents(&bob, chat).await;
    assert_eq!(
        said[1..],
        [
            "ada renamed the group to “Tea & Coffee”.",
            "carl renamed the group to “Cocoa”."
        ]
    );
    let mut database = cluster.database().await;
    let told = told(&mut database, chat).await;
    let [.., (updated, change), (sent, message)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((&**updated, &**sent), ("chat_updated", "message_sent"));
    assert_eq!(
        (&change["name"], &change["slug"], &change["updatedBy"]),
        (&json!("Cocoa"), &group["slug"], &json!(carl.id))
    );
    assert_eq!(
        (
            &message["contentType"],
            &message["senderId"],
            &message["metadata"]["system"]["kind"]
        ),
        (&json!("system"), &Value::Null, &json!("group_renamed"))
    );
    assert_eq!(told.len(), 6, "a name that stays is no news");
}

#[tokio::test]
async fn added_members_read_the_past_and_are_told_what_comes() {
    let cluster = Cluster::start().await;
    let [ada, bob, carl, dora, eve] = people(&cluster, ["ada", "bob", "carl", "dora", "eve"]).await;
    let direct = befriend(&ada, &carl).await;
    let group = start(&ada, &[&bob]).await;
    let chat = group.str("id").unwrap();
    for text in ["one", "two"] {
        write(&bob, chat, text).await.expect(201).unwrap();
    }
    let added = add(
        &ada,
        chat,
        json!({"participantIds": [direct, dora.id, dora.id, carl.id]}),
    )
    .await
    .expect(201)
    .unwrap();
    assert_eq!(added["chat"]["participantCount"], 4);
    assert_eq!(added["participants"][0]["userId"], json!(ada.id));
    assert_eq!(
        contents(&carl, chat).await,
        ["one", "two", "ada added carl and dora."]
    );
    assert_eq!(
        look(&carl, chat).await["unreadCount"],
        0,
        "neither the past nor what the system says is news to her"
    );

    let mut database = cluster.database().await;
    assert_eq!(
        kinds(&mut database, chat).await[2..],
        ["member_joined", "member_joined", "message_sent"]
    );
    for who in [&carl, &dora] {
        let (kind, seen) = told(&mut database, &who.id).await.pop().unwrap();
        assert_eq!(kind, "chat_started");
        assert_eq!(
            (&seen["position"], &seen["unreadCount"]),
            (&json!(2), &json!(0)),
            "where she came in"
        );
        assert_eq!(seen["participants"][0]["userId"], json!(who.id));
        assert_eq!(seen["participantCount"], 4);
        let positions: (i64, i64) = sqlx::query_as(
            "select delivered_seq, read_seq from participants where chat_id = $1 and user_id = $2",
        )
        .bind(chat.parse::<uuid::Uuid>().unwrap())
        .bind(who.id.parse::<uuid::Uuid>().unwrap())
        .fetch_one(&mut database)
        .await
        .unwrap();
        // Who has looked already has more.
        assert!(positions.0 >= 2 && positions.1 == 2, "{positions:?}");
    }

    let admin = |who: &LoggedIn| json!({"userId": who.id, "role": "admin"});
    let refused = add(&carl, chat, json!({"userId": eve.id})).await;
    assert_eq!(refused.expect(403).unwrap()["reason"], "NOT_ADMIN");
    add(&eve, chat, json!({"userId": eve.id}))
        .await
        .expect(404)
        .unwrap();
    add(&ada, chat, admin(&eve)).await.expect(201).unwrap();
    let [fay, gus] = people(&cluster, ["fay", "gus"]).await;
    assert_eq!(
        add(&eve, chat, admin(&fay)).await.expect(403).unwrap()["reason"],
        "NOT_OWNER"
    );
    add(&eve, chat, json!({"userId": fay.id}))
        .await
        .expect(201)
        .unwrap();
    for ids in [json!([fay.id]), json!([gus.id, ada.id])] {
        let refused = add(&eve, chat, json!({"participantIds": ids})).await;
        assert_eq!(refused.expect(409).unwrap()["reason"], "ALREADY_MEMBER");
    }
    block(&gus, &eve.id).await.expect(200).unwrap();
    for (body, field) in [
        (json!({}), "userId"),
        (json!({"participantIds": []}), "userId"),
        (json!({"userId": "x"}), "userId"),
        (json!({"userId": uuid::Uuid::nil()}), "userId"),
        // Only of the caller's own.
        (json!({"userId": direct}), "userId"),
        (
            json!({"participantIds": [ada.id, uuid::Uuid::nil()]}),
            "participantIds[1]",
        ),
        (
            json!({"participantIds": vec![ada.id.clone(); 51]}),
            "participantIds",
        ),
        (json!({"userId": gus.id, "role": "owner"}), "role"),
        (json!({"userId": gus.id}), "userId"),
    ] {
        let refused = add(&eve, chat, body).await.expect(400).unwrap();
        assert_eq!(refused["details"][0]["field"], field, "{}", refused.text);
    }
    let body = json!({"name": "Mine", "participantIds": [ada.id, gus.id]});
    let refused = eve.rest.post("/api/chats/group", body).await.unwrap();
    let refused = refused.expect(400).unwrap();
    assert_eq!(refused["details"][0]["field"], "participantIds[1]");
    add(&ada, chat, json!({"userId": gus.id}))
        .await
        .expect(201)
        .unwrap();
    let names: Vec<_> = roles(&gus, chat)
        .await
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["ada", "bob", "carl", "dora", "eve", "fay", "gus"]);
}

#[tokio::test]
async fn a_removed_member_is_out_at_once() {
    let cluster = Cluster::start().await;
    let [ada, bob, carl, dora, eve] = people(&cluster, ["ada", "bob", "carl", "dora", "eve"]).await;
    let group = start(&ada, &[&bob, &carl]).await;
    let chat = group.str("id").unwrap();
    for admin in [&dora, &eve] {
        add(&ada, chat, json!({"userId": admin.id, "role": "admin"}))
            .await
            .expect(201)
            .unwrap();
    }
    let refused = remove(&bob, chat, &carl).await.expect(403).unwrap();
    assert_eq!(refused["reason"], "NOT_ADMIN");
    let refused = remove(&dora, chat, &ada).await.expect(403).unwrap();
    assert_eq!(refused["reason"], "OWNER_STAYS");
    let refused = remove(&dora, chat, &dora).await.expect(400).unwrap();
    assert_eq!(refused["details"][0]["field"], "userId");
    let nonsense = format!("/api/chats/{chat}/participants/x");
    ada.rest.delete(&nonsense).await.unwrap().expect(400).unwrap();

    let answer = remove(&dora, chat, &bob).await.expect(200).unwrap();
    assert_eq!(answer["chat"]["participantCount"], 4);
    is_locked_out(&bob, &group).await;
    remove(&dora, chat, &bob).await.expect(404).unwrap();
    remove(&dora, chat, &eve).await.expect(200).unwrap();
    assert_eq!(
        contents(&carl, chat).await[2..],
        ["dora removed bob.", "dora removed eve."]
    );

    let mut database = cluster.database().await;
    assert_eq!(
        kinds(&mut database, chat).await[4..],
        ["member_left", "message_sent", "member_left", "message_sent"],
        "nothing reaches somebody who is out"
    );
    let (kind, left) = told(&mut database, &bob.id).await.pop().unwrap();
    assert_eq!(kind, "member_left");
    assert_eq!(
        (
            &left["chatId"],
            &left["userId"],
            &left["removedBy"],
            &left["newOwnerId"]
        ),
        (&json!(chat), &json!(bob.id), &json!(dora.id), &Value::Null)
    );

    // Back again, as nothing more than a member, and where the chat is now.
    let back = add(&ada, chat, json!({"participantIds": [eve.id, bob.id]}))
        .await
        .expect(201)
        .unwrap();
    let position = told(&mut database, &bob.id).await.pop().unwrap().1["position"].clone();
    assert_eq!(position, 8);
    assert_eq!(
        back["position"], 11,
        "two came and it was said: ada is further already"
    );
    let names: Vec<_> = roles(&bob, chat).await;
    assert!(
        names.contains(&("eve".to_owned(), "member".to_owned())),
        "{names:?}"
    );
    assert_eq!(look(&bob, chat).await["unreadCount"], 0);
    write(&bob, chat, "here again").await.expect(201).unwrap();
}

#[tokio::test]
async fn an_owner_who_leaves_passes_the_group_on() {
    let cluster = Cluster::start().await;
    let [ada, bob, carl, dora] = people(&cluster, ["ada", "bob", "carl", "dora"]).await;
    let group = start(&ada, &[&bob]).await;
    let chat = group.str("id").unwrap();
    for (who, role) in [(&carl, "member"), (&dora, "admin")] {
        add(&ada, chat, json!({"userId": who.id, "role": role}))
            .await
            .expect(201)
            .unwrap();
    }
    leave(&ada, chat).await.expect(204).unwrap();
    is_locked_out(&ada, &group).await;
    let role = |name: &str, role: &str| (name.to_owned(), role.to_owned());
    assert_eq!(
        roles(&bob, chat).await,
        [
            role("bob", "member"),
            role("carl", "member"),
            role("dora", "owner")
        ],
        "the admin, although others were there before"
    );
    let mut database = cluster.database().await;
    let (kind, left) = told(&mut database, &ada.id).await.pop().unwrap();
    assert_eq!((&*kind, &left["newOwnerId"]), ("member_left", &json!(dora.id)));
    assert_eq!(
        kinds(&mut database, chat).await[4..],
        ["member_left", "message_sent", "message_sent"]
    );
    assert_eq!(
        contents(&bob, chat).await[2..],
        ["ada left the group.", "dora owns the group now."]
    );

    add(&dora, chat, json!({"userId": ada.id}))
        .await
        .expect(201)
        .unwrap();
    assert!(roles(&ada, chat).await.contains(&role("ada", "member")));
    delete(&ada, chat).await.expect(403).unwrap();
    leave(&dora, chat).await.expect(204).unwrap();
    assert_eq!(
        roles(&ada, chat).await,
        [
            role("ada", "member"),
            role("bob", "owner"),
            role("carl", "member")
        ],
        "nobody is admin: whoever has been there longest"
    );
    leave(&carl, chat).await.expect(204).unwrap();
    leave(&bob, chat).await.expect(204).unwrap();
    leave(&ada, chat).await.expect(204).unwrap();
    is_locked_out(&ada, &group).await;
    let kinds = kinds(&mut database, chat).await;
    assert_eq!(kinds[kinds.len() - 2..], ["member_left", "chat_deleted"]);

    let direct = befriend(&ada, &bob).await;
    for refused in [
        leave(&ada, &direct).await,
        rename(&ada, &direct, "Us").await,
        delete(&ada, &direct).await,
        add(&ada, &direct, json!({"userId": carl.id})).await,
        remove(&ada, &direct, &bob).await,
    ] {
        assert_eq!(refused.expect(403).unwrap()["reason"], "ONLY_IN_GROUPS");
    }
    leave(&dora, &direct).await.expect(404).unwrap();
    look(&bob, &direct).await.expect(200).unwrap();
}

#[tokio::test]
async fn a_deleted_group_is_gone_for_everybody() {
    let cluster = Cluster::start().await;
    let [ada, bob, carl, eve] = people(&cluster, ["ada", "bob", "carl", "eve"]).await;
    let group = start(&ada, &[&bob]).await;
    let chat = group.str("id").unwrap();
    add(&ada, chat, json!({"userId": carl.id, "role": "admin"}))
        .await
        .expect(201)
        .unwrap();
    for (who, status) in [(&bob, 403), (&carl, 403), (&eve, 404)] {
        delete(who, chat).await.expect(status).unwrap();
    }
    write(&bob, chat, "still here").await.expect(201).unwrap();
    delete(&ada, chat).await.expect(204).unwrap();
    for who in [&ada, &bob, &carl] {
        is_locked_out(who, &group).await;
    }
    look(&eve, chat).await.expect(404).unwrap();
    delete(&eve, chat).await.expect(404).unwrap();
    let profile = format!("/api/users/{}", ada.id);
    bob.rest.get(&profile).await.unwrap().expect(403).unwrap();
    let mut database = cluster.database().await;
    for topic in [chat, &ada.id, &bob.id, &carl.id] {
        let (kind, gone) = told(&mut database, topic).await.pop().unwrap();
        assert_eq!((&*kind, &gone["chatId"]), ("chat_deleted", &json!(chat)));
        assert_eq!(gone["deletedBy"], json!(ada.id));
    }
}

/// Many add at once: the group gets full, and not fuller.
#[tokio::test]
async fn a_group_is_never_fuller_than_full() {
    let cluster = Cluster::with(|config| {
        config.limits.group_max_members = 6;
        config.limits.rate_limits = gateway::config::Switch::Off;
    })
    .await;
    let [ada, bob] = people(&cluster, ["ada", "bob"]).await;
    let group = start(&ada, &[&bob]).await;
    let chat = group.str("id").unwrap();
    let mut more = Vec::new();
    for i in 0..12 {
        more.push(cluster.rest(0).register(&format!("more_{i}")).await.unwrap());
    }
    let doors = [
        cluster.rest(0).with_token(&ada.access_token),
        cluster.rest(1).with_token(&ada.access_token),
    ];
    let path = format!("/api/chats/{chat}/participants");
    let adds = more
        .iter()
        .enumerate()
        .map(|(i, person)| doors[i % 2].post(&path, json!({"userId": person.id})));
    let (answers, ()) = tokio::join!(futures_util::future::join_all(adds), async {
        for _ in 0..10 {
            write(&bob, chat, "meanwhile").await.expect(201).unwrap();
        }
    });
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let added = answers.iter().filter(|answer| answer.status == 201).count();
    let full = answers.iter().filter(|answer| answer["reason"] == "GROUP_FULL");
    assert_eq!((added, full.count()), (4, 8));
    assert_eq!(look(&bob, chat).await["participantCount"], 6);
    remove(&ada, chat, &bob).await.expect(200).unwrap();
    let body = json!({"participantIds": [bob.id, cluster.rest(0).register("last").await.unwrap().id]});
    add(&ada, chat, body).await.expect(409).unwrap();
    add(&ada, chat, json!({"userId": bob.id}))
        .await
        .expect(201)
        .unwrap();
}

/// Whoever leaves, removes, adds and writes at the same time: there is exactly one owner as long as there is anybody.
#[tokio::test]
async fn a_group_always_has_one_owner() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = gateway::config::Switch::Off).await;
    let everybody = people(&cluster, ["ada", "bob", "carl", "dora", "eve", "fay"]).await;
    let [ada, bob, carl, dora, eve, fay] = &everybody;
    for _ in 0..10 {
        let group = start(ada, &[bob, eve, fay]).await;
        let chat = group.str("id").unwrap();
        for admin in [carl, dora] {
            add(ada, chat, json!({"userId": admin.id, "role": "admin"}))
                .await
                .expect(201)
                .unwrap();
        }
        // The owner and her first heir go while the admins throw each other out.
        let (a, b, c, d, e, f) = tokio::join!(
            leave(ada, chat),
            leave(carl, chat),
            remove(carl, chat, dora),
            remove(dora, chat, carl),
            write(eve, chat, "what is going on?"),
            remove(dora, chat, fay),
        );
        a.expect(204).unwrap();
        e.expect(201).unwrap();
        for answer in [b, c, d, f] {
            assert!(answer.status < 500, "{}", answer.text);
        }
        roles(bob, chat).await;
        let (a, b) = tokio::join!(leave(bob, chat), leave(eve, chat));
        a.expect(204).unwrap();
        b.expect(204).unwrap();
        let mut database = cluster.database().await;
        let owners: (i64, i64) = sqlx::query_as(
            "select count(*), count(*) filter (where role = 'owner') from participants
             where chat_id = $1 and left_at is null",
        )
        .bind(chat.parse::<uuid::Uuid>().unwrap())
        .fetch_one(&mut database)
        .await
        .unwrap();
        assert_eq!(owners.1, owners.0.min(1), "{owners:?}");
    }
}

/// A message that is accepted while its group is deleted or its sender removed comes before that, or not at all.
#[tokio::test]
async fn nothing_is_said_after_the_end() {
    let cluster = Cluster::with(|config| config.limits.rate_limits = gateway::config::Switch::Off).await;
    let [ada, bob] = people(&cluster, ["ada", "bob"]).await;
    let mut database = cluster.database().await;
    for round in 0..10 {
        let group = start(&ada, &[&bob]).await;
        let chat = group.str("id").unwrap();
        let end = async {
            if round % 2 == 0 {
                delete(&ada, chat).await.expect(204).unwrap();
            } else {
                remove(&ada, chat, &bob).await.expect(200).unwrap();
            }
        };
        let (.., one, two, three) = tokio::join!(
            end,
            write(&bob, chat, "1"),
            write(&bob, chat, "2"),
            write(&bob, chat, "3")
        );
        for answer in [one, two, three] {
            assert!([201, 403].contains(&answer.status), "{}", answer.text);
        }
        let told = told(&mut database, chat).await;
        let end = told
            .iter()
            .position(|(kind, _)| ["chat_deleted", "member_left"].contains(&&**kind));
        for (_, message) in &told[end.unwrap()..] {
            assert_ne!(message["senderId"], json!(bob.id), "{told:#?}");
        }
    }
}
