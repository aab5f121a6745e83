//! Give a group another name. Its readable address stays, because people have passed it on.

use shared::{
    ChatId,
    chat::{Chat, ChatChanged, RenameGroup},
    event::Event,
    message::SystemNotice,
    topic::Topic,
};

use super::{Group, rules, start::seen_by, store};
use crate::{
    error::Result,
    features::{Backend, Caller, accounts, messages::announce::announce},
    limits::Limited,
};

pub async fn rename(backend: &Backend, caller: &Caller, chat: ChatId, ask: RenameGroup) -> Result<Chat> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let group = Group::in_turn(&mut tx, caller.user, chat).await?;
    rules::may_manage(group.role)?;
    let before = seen_by(backend, &mut tx, caller.user, chat).await?;
    if before.name.as_deref() == Some(&*ask.name) {
        return Ok(before);
    }
    let actor = accounts::user(&mut tx, &backend.settings, caller.user).await?;
    let place = tx.next_place(Topic::Chat(chat), backend.clock.now()).await?;
    store::rename(&mut tx, chat, &ask.name, place.at).await?;
    let changed = ChatChanged {
        id: chat,
        chat_id: chat,
        name: Some(ask.name.to_string()),
        slug: before.slug,
        avatar_url: before.avatar_url,
        owner_id: before.owner_id,
        updated_by: caller.user,
        updated_at: place.at,
    };
    tx.record_at(place, &Event::ChatUpdated(changed)).await?;
    let notice = SystemNotice::GroupRenamed {
        actor_id: caller.user,
        name: ask.name.to_string(),
    };
    let text = format!("{} renamed the group to “{}”.", actor.shown_name(), &*ask.name);
    announce(backend, &mut tx, chat, &notice, &text).await?;
    let after = seen_by(backend, &mut tx, caller.user, chat).await?;
    tx.commit().await?;
    Ok(after)
}
