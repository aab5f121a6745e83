//! Somebody with two connections: what one of them misses while it is away counts as delivered by the other, and reaches it all the same.

use std::time::Duration;

use gateway::config::Switch;
use serde_json::{Value, json};
use tools::client::{Socket, rest::LoggedIn};

use crate::cluster::Cluster;

struct Scene {
    cluster: Cluster,
    ada: LoggedIn,
    bob: LoggedIn,
    chat: String,
}

impl Scene {
    /// Ada and Bob in a group.
    async fn open() -> Self {
        let cluster = Cluster::with(|config| config.limits.rate_limits = Switch::Off).await;
        let ada = cluster.rest(0).register("ada").await.unwrap();
        let bob = cluster.rest(0).register("bob").await.unwrap();
        let ask = json!({"name": "Tea", "participantIds": [bob.id]});
        let chat = ada.rest.post("/api/chats/group", ask).await.unwrap();
        let chat = chat.str("id").unwrap().to_owned();
        Self {
            cluster,
            ada,
            bob,
            chat,
        }
    }

    async fn say(&self, text: &str) {
        let path = format!("/api/chats/{}/messages", self.chat);
        let sent = self.ada.rest.post(&path, json!({"content": text})).await.unwrap();
        sent.expect(201).unwrap();
    }

    /// A tab of Bob's, as the existing client opens it.
    async fn tab(&self, replica: usize) -> Socket {
        let mut socket = Socket::open(self.cluster.rest(replica).base(), &self.bob.access_token)
            .await
            .unwrap();
        socket.hear("connection:success", |_| true).await.unwrap();
        socket
    }

    /// Wait until both tabs' receipts are noted: from then on, the database takes the message for delivered.
    async fn delivered(&self, text: &str) {
        let path = format!("/api/chats/{}/messages", self.chat);
        let mut page = Value::Null;
        for _ in 0..250 {
            page = self.ada.rest.get(&path).await.unwrap().expect(200).unwrap().body;
            let messages = page["data"].as_array().unwrap();
            if messages
                .iter()
                .any(|message| says(text)(message) && message["deliveryStatus"] == "delivered")
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never delivered: {page}");
    }
}

fn says(text: &str) -> impl Fn(&Value) -> bool {
    move |message| message["content"] == text
}

async fn heard_soon(socket: &mut Socket, text: &str) -> bool {
    while let Some(event) = socket.next(Duration::from_millis(700)).await {
        if event.name == "message:new" && says(text)(&event.payload) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_tab_that_was_away_hears_what_the_other_one_got() {
    let scene = Scene::open().await;
    let mut stays = scene.tab(0).await;
    let goes = scene.tab(1).await;
    drop(goes);
    scene.say("while away").await;
    stays.hear("message:new", says("while away")).await.unwrap();
    scene.delivered("while away").await;
    for replica in [0, 1] {
        let mut back = scene.tab(replica).await;
        assert!(heard_soon(&mut back, "while away").await, "replica {replica}");
    }
}

#[tokio::test]
async fn a_tab_that_said_goodbye_does_not_hear_it_again() {
    let scene = Scene::open().await;
    let mut stays = scene.tab(0).await;
    let goes = scene.tab(1).await;
    scene.say("before").await;
    stays.hear("message:new", says("before")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    goes.leave().await.unwrap();
    scene.say("after").await;
    stays.hear("message:new", says("after")).await.unwrap();
    scene.delivered("after").await;
    // What was said in the very moment before may be told once more.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut new = scene.tab(1).await;
    assert!(!heard_soon(&mut new, "after").await);
}

#[tokio::test]
async fn tabs_of_a_killed_replica_miss_nothing_whichever_is_back_first() {
    let mut scene = Scene::open().await;
    let (first, second) = (scene.tab(1).await, scene.tab(1).await);
    // As with kill -9: nothing of it runs any more, and nobody noted anything.
    scene.cluster.replicas.remove(1).tasks.cut();
    drop((first, second));
    let mut first = scene.tab(0).await;
    scene.say("in between").await;
    first.hear("message:new", says("in between")).await.unwrap();
    scene.delivered("in between").await;
    // Nobody knows yet that the replica is dead, so it is not told at once.
    let mut second = scene.tab(0).await;
    second.hear("message:new", says("in between")).await.unwrap();
}
