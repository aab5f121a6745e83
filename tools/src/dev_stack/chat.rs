//! `cargo dev chat NAME`: somebody at a terminal. All who are started so meet in one group.

use std::collections::HashSet;
use std::io::stdin;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep;
use uuid::Uuid;

use super::balancer;
use super::place::Place;
use super::progress::{Colour, out, paint};
use super::state::{Guide, State};
use crate::client::{Heard, LoggedIn, PASSWORD, Rest, Socket};

/// Where they meet. The guide has opened it.
const GROUP: &str = "Terminals";

pub fn run(place: &Place, name: &str) -> Result<()> {
    let state = State::load(place);
    let port = state.ports.get(balancer::SERVICE).copied();
    let (Some(port), Some(guide)) = (port.filter(|port| balancer::is_answering(*port)), state.guide) else {
        bail!("the messenger does not run here: `cargo dev up` starts it");
    };
    let rest = Rest::new(format!("http://127.0.0.1:{port}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let me = come_in(&rest, name).await?;
        let chat = join(&rest, &guide, &me).await?;
        talk(&rest, &me, &chat).await
    })
}

/// Log in, or register if nobody has this name.
async fn come_in(rest: &Rest, name: &str) -> Result<LoggedIn> {
    let body = json!({"username": name, "password": PASSWORD});
    let answer = rest.post("/api/auth/login", body).await?;
    if answer.is_success() {
        return rest.logged_in(&answer);
    }
    let body = json!({"username": name, "password": PASSWORD, "passwordConfirm": PASSWORD});
    let answer = rest.post("/api/auth/register", body).await?;
    match answer.status {
        201 => rest.logged_in(&answer),
        409 => bail!("{name} exists, and not from here: choose another name"),
        _ => bail!("{}", answer.str("message")?),
    }
}

/// Become a member of the group, which the guide opens for the first who comes.
async fn join(rest: &Rest, guide: &Guide, me: &LoggedIn) -> Result<String> {
    let guide = rest
        .log_in(&guide.username, &guide.password)
        .await
        .context("the guide is gone: `cargo dev up` brings him back")?;
    let chats = guide.rest.get("/api/chats").await?.expect(200)?.body;
    let group = chats["chats"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|chat| chat["name"] == GROUP);
    let Some(chat) = group.and_then(|group| group["id"].as_str()) else {
        let body = json!({"name": GROUP, "participantIds": [me.id]});
        let group = guide.rest.post("/api/chats/group", body).await?.expect(201)?;
        return Ok(group.str("id")?.to_owned());
    };
    let path = format!("/api/chats/{chat}/participants");
    let added = guide.rest.post(&path, json!({"userId": me.id})).await?;
    if !added.is_success() && added.body["reason"] != "ALREADY_MEMBER" {
        added.expect(201)?;
    }
    Ok(chat.to_owned())
}

/// Send what is typed and show what is told, until the input ends.
async fn talk(rest: &Rest, me: &LoggedIn, chat: &str) -> Result<()> {
    let mut socket = Socket::open(rest.base(), &me.access_token).await?;
    let history = format!("/api/chats/{chat}/messages?limit=10");
    let history = me.rest.get(&history).await?.expect(200)?.body;
    // What was said while we looked is told again.
    let mut shown = HashSet::new();
    for message in history["data"].as_array().into_iter().flatten() {
        shown.insert(message["id"].clone());
        show(message);
    }
    out(paint(
        Colour::Bold,
        &format!("You are {}. Type a line to say it; Ctrl-D ends.", me.username),
    ));
    let mut typed = typed();
    loop {
        tokio::select! {
            line = typed.recv() => {
                let Some(line) = line else { return socket.leave().await };
                if line.trim().is_empty() {
                    continue;
                }
                let message = json!({"chatId": chat, "content": line, "clientMessageId": Uuid::new_v4()});
                // Said again to another replica, it is still one message.
                let said = loop {
                    match socket.ask("message:send", &message).await {
                        Ok(said) => break said,
                        Err(_) => socket = come_back(rest, me).await?,
                    }
                };
                if said["success"] != true {
                    out(paint(Colour::Red, said["error"].as_str().unwrap_or("That was refused.")));
                }
            }
            heard = socket.recv() => match heard {
                Some(Heard { name, payload, .. }) if name == "message:new" && payload["chatId"] == chat => {
                    if shown.insert(payload["id"].clone()) {
                        show(&payload);
                    }
                }
                Some(_) => {}
                // The replica leaves; the other one is there.
                None => socket = come_back(rest, me).await?,
            }
        }
    }
}

async fn come_back(rest: &Rest, me: &LoggedIn) -> Result<Socket> {
    for _ in 0..30 {
        if let Ok(socket) = Socket::open(rest.base(), &me.access_token).await {
            return Ok(socket);
        }
        sleep(Duration::from_secs(1)).await;
    }
    bail!("the connection is gone, and nobody answers any more: `cargo dev status`")
}

/// The lines that are typed. A thread of its own reads them, because nothing can stop it waiting for one.
fn typed() -> UnboundedReceiver<String> {
    let (tells, typed) = unbounded_channel();
    thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if tells.send(line).is_err() {
                return;
            }
        }
    });
    typed
}

fn show(message: &Value) {
    let text = plain(message["content"].as_str().unwrap_or_default());
    match message["sender"]["username"].as_str() {
        Some(name) => out(format!("{}: {text}", paint(Colour::Green, &plain(name)))),
        None => out(text),
    }
}

/// Markup as it was typed, and nothing that a terminal would obey.
fn plain(html: &str) -> String {
    let text = html
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_is_shown_is_what_was_typed() {
        assert_eq!(plain("1 &lt; 2 &amp;&amp; &quot;x&quot;"), "1 < 2 && \"x\"");
        assert_eq!(plain("&amp;lt;"), "&lt;");
        assert_eq!(plain("red \u{1b}[31malert\u{7}"), "red [31malert");
    }
}
