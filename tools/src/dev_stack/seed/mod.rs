//! `cargo dev seed`: people, contacts, groups and history to play with. All of it goes through the public
//! REST API of the running stack, as clients would do it, and all of it may be run again: who is there
//! logs in instead of registering, and every message carries a key by which a repetition is recognised.

mod story;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use self::story::{Room, Story};
use super::balancer;
use super::place::Place;
use super::progress::{Progress, out};
use super::state::State;
use super::table::Rows;
use crate::client::{Answer, LoggedIn, PASSWORD, Rest};

pub fn run(place: &Place) -> Result<()> {
    let state = State::load(place);
    let port = state
        .ports
        .get(balancer::SERVICE)
        .copied()
        .filter(|port| balancer::is_answering(*port));
    let port = port.context("the stack is not running: `cargo dev up` first")?;
    let story = Story::read()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let rest = Rest::new(format!("http://127.0.0.1:{port}"));
    runtime.block_on(tell(&rest, &story, &Progress::new()))?;

    let mut rows = Rows::under(&["username", "password", "name", "in groups"]);
    for (username, name) in &story.people {
        let groups = story.rooms.iter().filter(|room| room.members.contains(username));
        let groups: Vec<&str> = groups.filter_map(|room| room.name.as_deref()).collect();
        rows.add(&[username, PASSWORD, name, &groups.join(", ")]);
    }
    out(format!(
        "\n{}\nThey may all log in at http://localhost:{port}",
        rows.finish()
    ));
    Ok(())
}

type Crowd = BTreeMap<String, LoggedIn>;

async fn tell(rest: &Rest, story: &Story, progress: &Progress) -> Result<()> {
    let bar = progress.bar(count(story.people.len()), "people  ");
    let mut crowd = Crowd::new();
    for (username, name) in &story.people {
        crowd.insert(username.clone(), join(rest, username, name).await?);
        bar.inc(1);
    }
    bar.finish();

    let bar = progress.bar(count(story.contacts.len()), "contacts");
    for (one, other) in &story.contacts {
        befriend(&crowd[one], &crowd[other])
            .await
            .with_context(|| format!("{one} and {other}"))?;
        bar.inc(1);
    }
    bar.finish();

    let messages = story.rooms.iter().map(|room| room.lines.len()).sum();
    let bar = progress.bar(count(messages), "messages");
    let mut new = 0;
    for room in &story.rooms {
        let chat = open(&crowd, room)
            .await
            .with_context(|| format!("the chat {}", room.title()))?;
        new += talk(&crowd, room, &chat, &bar)
            .await
            .with_context(|| format!("the chat {}", room.title()))?;
    }
    bar.finish();
    progress.say(&format!(
        "{} people, {} contacts, {} chats, {messages} messages ({new} of them new)",
        story.people.len(),
        story.contacts.len(),
        story.rooms.len()
    ));
    Ok(())
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Register, or log in when that has been done before.
async fn join(rest: &Rest, username: &str, name: &str) -> Result<LoggedIn> {
    let body = json!({
        "username": username, "password": PASSWORD, "passwordConfirm": PASSWORD, "displayName": name,
    });
    let answer = patiently(|| rest.post("/api/auth/register", body.clone())).await?;
    match answer.status {
        201 => rest.logged_in(&answer),
        409 => {
            let body = json!({"username": username, "password": PASSWORD});
            let answer = patiently(|| rest.post("/api/auth/login", body.clone())).await?;
            let answer = answer.expect(200).with_context(|| {
                format!(
                    "{username} exists, but not with the password {PASSWORD}: `cargo dev reset` makes room"
                )
            })?;
            rest.logged_in(&answer)
        }
        status => bail!("registering {username} got {status}: {}", answer.text),
    }
}

/// Ask and accept, unless they know each other already.
async fn befriend(one: &LoggedIn, other: &LoggedIn) -> Result<()> {
    let contacts = patiently(|| one.rest.get("/api/contacts")).await?.expect(200)?;
    let known = contacts["contacts"].as_array().is_some_and(|all| {
        all.iter()
            .any(|contact| contact["contactId"] == other.id || contact["user"]["id"] == other.id)
    });
    if known {
        return Ok(());
    }
    let answer = patiently(|| {
        one.rest
            .post("/api/contacts/request", json!({"contactId": other.id}))
    })
    .await?;
    let request = match answer.status {
        201 => answer.at("/request/id")?.to_owned(),
        // An earlier run was interrupted between asking and accepting.
        409 => pending(other, &one.id).await?,
        status => bail!("the request got {status}: {}", answer.text),
    };
    let accept = format!("/api/contacts/{request}/accept");
    patiently(|| other.rest.post(&accept, None)).await?.expect(200)?;
    Ok(())
}

async fn pending(asked: &LoggedIn, asker: &str) -> Result<String> {
    let answer = patiently(|| asked.rest.get("/api/contacts/pending"))
        .await?
        .expect(200)?;
    let requests = answer["requests"].as_array().cloned().unwrap_or_default();
    let request = requests.iter().find(|request| request["senderId"] == asker);
    let id = request.and_then(|request| request["id"].as_str());
    Ok(id
        .context("refused as pending, but there is no such request")?
        .to_owned())
}

/// The id of the chat, which is made when it is not there.
async fn open(crowd: &Crowd, room: &Room) -> Result<String> {
    let host = &crowd[&room.members[0]];
    let Some(name) = &room.name else {
        let body = json!({"contactId": crowd[&room.members[1]].id});
        let answer = patiently(|| host.rest.post("/api/chats/direct", body.clone())).await?;
        if !answer.is_success() {
            bail!("opening it got {}: {}", answer.status, answer.text);
        }
        return Ok(answer.str("id")?.to_owned());
    };
    if let Some(id) = find_group(host, name).await? {
        return Ok(id);
    }
    let others: Vec<&str> = room.members[1..]
        .iter()
        .map(|member| crowd[member].id.as_str())
        .collect();
    let body = json!({"name": name, "participantIds": others});
    let answer = patiently(|| host.rest.post("/api/chats/group", body.clone()))
        .await?
        .expect(201)?;
    Ok(answer.at("/chat/id")?.to_owned())
}

/// The group that an earlier run made.
async fn find_group(host: &LoggedIn, name: &str) -> Result<Option<String>> {
    let mut path = "/api/chats?limit=100".to_owned();
    // A broken cursor must not keep us here for ever.
    for _ in 0..50 {
        let answer = patiently(|| host.rest.get(&path)).await?.expect(200)?;
        let chats = answer["chats"].as_array().cloned().unwrap_or_default();
        let group = chats.iter().find(|chat| {
            chat["type"] == "group" && chat["name"] == name && chat["ownerId"] == host.id.as_str()
        });
        if let Some(id) = group.and_then(|chat| chat["id"].as_str()) {
            return Ok(Some(id.to_owned()));
        }
        match &answer["nextCursor"] {
            Value::String(cursor) if !chats.is_empty() => {
                path = format!("/api/chats?limit=100&cursor={cursor}");
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Say every line. Returns how many had not been said before.
async fn talk(crowd: &Crowd, room: &Room, chat: &str, bar: &ProgressBar) -> Result<usize> {
    let mut new = 0;
    for (number, (speaker, text)) in room.lines.iter().enumerate() {
        let rest = crowd[speaker]
            .rest
            .with_header("idempotency-key", &format!("seed-{chat}-{number}"));
        let path = format!("/api/chats/{chat}/messages");
        let answer = patiently(|| rest.post(&path, json!({"content": text}))).await?;
        match answer.status {
            201 => new += 1,
            200 => {}
            status => bail!("{speaker}'s message {number} got {status}: {}", answer.text),
        }
        bar.inc(1);
    }
    Ok(new)
}

/// Ask until the gateway has time for us: it says itself how long that takes.
async fn patiently<F>(ask: impl Fn() -> F) -> Result<Answer>
where
    F: Future<Output = Result<Answer>>,
{
    let mut waited = Duration::ZERO;
    loop {
        let answer = ask().await?;
        if !matches!(answer.status, 429 | 503) {
            return Ok(answer);
        }
        let wait = answer
            .retry_after()
            .unwrap_or(Duration::from_secs(1))
            .max(Duration::from_millis(200));
        if waited + wait > Duration::from_secs(180) {
            bail!(
                "the gateway asks us to wait {} s more: {}",
                wait.as_secs(),
                answer.text
            );
        }
        tokio::time::sleep(wait).await;
        waited += wait;
    }
}
