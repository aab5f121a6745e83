//! Give a group another picture.

use bytes::Bytes;
use shared::{
    ChatId,
    chat::{Chat, ChatChanged},
    event::Event,
    message::SystemNotice,
    topic::Topic,
};

use super::{Group, rules, start::seen_by, store};
use crate::{
    error::Result,
    features::{
        Backend, Caller, accounts,
        media::{self, keep_thumbnail},
        messages::announce::announce,
    },
};

/// Asked before anything of the picture is read. It is asked again when it is changed.
pub async fn may_change(backend: &Backend, caller: &Caller, chat: ChatId) -> Result<()> {
    let mut tx = backend.begin().await?;
    let group = Group::in_turn(&mut tx, caller.user, chat).await?;
    rules::may_manage(group.role)
}

pub async fn change(
    backend: &Backend,
    caller: &Caller,
    chat: ChatId,
    place: media::Place,
    file: Bytes,
) -> Result<Chat> {
    let kept = keep_thumbnail(backend, place, file).await?;
    let mut tx = backend.begin().await?;
    let group = Group::in_turn(&mut tx, caller.user, chat).await?;
    rules::may_manage(group.role)?;
    kept.claim(&mut tx).await?;
    let actor = accounts::user(&mut tx, &backend.settings, caller.user).await?;
    let place = tx.next_place(Topic::Chat(chat), backend.clock.now()).await?;
    store::set_picture(&mut tx, chat, kept.key(), place.at).await?;
    let changed = seen_by(backend, &mut tx, caller.user, chat).await?;
    let changed = ChatChanged {
        id: chat,
        chat_id: chat,
        name: changed.name,
        slug: changed.slug,
        avatar_url: changed.avatar_url,
        owner_id: changed.owner_id,
        updated_by: caller.user,
        updated_at: place.at,
    };
    tx.record_at(place, &Event::ChatUpdated(changed)).await?;
    let notice = SystemNotice::GroupPictureChanged {
        actor_id: caller.user,
    };
    let text = format!("{} changed the group's picture.", actor.shown_name());
    announce(backend, &mut tx, chat, &notice, &text).await?;
    let after = seen_by(backend, &mut tx, caller.user, chat).await?;
    tx.commit().await?;
    Ok(after)
}
