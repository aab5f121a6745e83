//! The first minute with a running stack: somebody to talk to, and three commands to paste.

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use uuid::Uuid;

use super::place::Place;
use super::progress::{Colour, out, paint};
use super::state::{Guide, State};
use crate::client::{PASSWORD, Rest};

/// Make sure that the guide exists, and say who he is.
pub(crate) fn guide(place: &Place, state: &mut State, port: u16) -> Result<Guide> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let rest = Rest::new(format!("http://127.0.0.1:{port}"));
    let known = state.guide.clone();
    let guide = runtime.block_on(async { find_or_register(&rest, known).await })?;
    state.guide = Some(guide.clone());
    state.save(place)?;
    Ok(guide)
}

async fn find_or_register(rest: &Rest, known: Option<Guide>) -> Result<Guide> {
    if let Some(guide) = known {
        // He is gone when the database was reset behind our back.
        let body = json!({"username": guide.username, "password": guide.password});
        let answer = rest.post("/api/auth/login", body).await?;
        if answer.is_success() {
            return Ok(Guide {
                id: answer.at("/user/id")?.to_owned(),
                ..guide
            });
        }
        if answer.status != 401 {
            bail!(
                "logging in as {} got {}: {}",
                guide.username,
                answer.status,
                answer.text
            );
        }
    }
    let password = format!("Aa1{}", Uuid::new_v4().simple());
    // Somebody may have taken the name, or we may have forgotten the password together with the state.
    for username in ["guide".to_owned(), format!("guide_{}", suffix())] {
        let body = json!({
            "username": username, "password": password, "passwordConfirm": password, "displayName": "Your guide",
        });
        let answer = rest.post("/api/auth/register", body).await?;
        match answer.status {
            201 => {
                return Ok(Guide {
                    id: answer.at("/user/id")?.to_owned(),
                    username,
                    password,
                });
            }
            409 => {}
            status => bail!("registering {username} got {status}: {}", answer.text),
        }
    }
    None.context("both names for the guide are taken")
}

/// The commands. They take nothing but a POSIX shell and curl, in this order.
pub(crate) fn print(port: u16, guide: &Result<Guide>) {
    let base = format!("http://localhost:{port}");
    let username = format!("you_{}", suffix());
    let json = "-H 'Content-Type: application/json'";
    let [register, log_in, send] = [
        paint(Colour::Bold, "Register:"),
        paint(Colour::Bold, "Log in, and keep the token:"),
        paint(Colour::Bold, "Send a message (in a new group with the guide):"),
    ];
    out("Paste these one after another:\n");
    out(format!("# 1. {register}"));
    out(format!(
        "curl -sS {base}/api/auth/register {json} \
         -d '{{\"username\":\"{username}\",\"password\":\"{PASSWORD}\",\"passwordConfirm\":\"{PASSWORD}\"}}'; echo\n"
    ));
    out(format!("# 2. {log_in}"));
    out(format!(
        "TOKEN=$(curl -sS {base}/api/auth/login {json} -d '{{\"username\":\"{username}\",\"password\":\"{PASSWORD}\"}}' \
         | sed 's/.*\"accessToken\":\"\\([^\"]*\\)\".*/\\1/'); echo \"$TOKEN\"\n"
    ));
    match guide {
        Ok(guide) => {
            out(format!("# 3. {send}"));
            out(format!(
                "CHAT=$(curl -sS {base}/api/chats/group -H \"Authorization: Bearer $TOKEN\" {json} \
                 -d '{{\"name\":\"Hello\",\"participantIds\":[\"{}\"]}}' \
                 | grep -o '\"id\":\"[^\"]*\"' | head -n 1 | cut -d '\"' -f 4); \
                 curl -sS \"{base}/api/chats/$CHAT/messages\" -H \"Authorization: Bearer $TOKEN\" {json} \
                 -d '{{\"content\":\"Hello, world\"}}'; echo\n",
                guide.id
            ));
        }
        Err(error) => out(format!("# 3. There is nobody to talk to yet: {error:#}\n")),
    }
    out(format!("The whole interface, to read and to try: {base}/docs"));
    out("More: `cargo dev seed` (people and history), `logs`, `status`, `down`, `doctor`.");
    out("Or just talk: `cargo dev chat alice` here, and `cargo dev chat ben` in another terminal.");
}

fn suffix() -> String {
    let mut text = Uuid::new_v4().simple().to_string();
    text.truncate(6);
    text
}
