//! Remove somebody from a group. They have no access from that moment on.

use shared::{
    ChatId, UserId,
    chat::{Chat, MemberLeft, Role},
    event::Event,
    message::SystemNotice,
    problem::Reason,
    topic::Topic,
};

use super::{Group, rules, start::seen_by, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller, accounts, messages::announce::announce},
    limits::Limited,
};

/// Admins may remove each other: that is what the client offers them.
pub async fn remove_member(backend: &Backend, caller: &Caller, chat: ChatId, whom: UserId) -> Result<Chat> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let group = Group::in_turn(&mut tx, caller.user, chat).await?;
    rules::may_manage(group.role)?;
    if whom == caller.user {
        return Err(Error::invalid(
            "userId",
            "must be somebody else: to go, leave the group",
        ));
    }
    let member = group.member(whom).ok_or(Error::NotFound("member"))?;
    if member.role == Role::Owner {
        return Err(Error::Forbidden(Reason::OwnerStays));
    }
    let actor = accounts::user(&mut tx, &backend.settings, caller.user).await?;
    let removed = accounts::user(&mut tx, &backend.settings, whom).await?;

    store::hold(&mut tx, chat, &[whom]).await?;
    let place = tx.next_place(Topic::Chat(chat), backend.clock.now()).await?;
    store::leave(&mut tx, chat, &[whom], place.at).await?;
    let left = Event::MemberLeft(MemberLeft {
        chat_id: chat,
        user_id: whom,
        removed_by: caller.user,
        new_owner_id: None,
        timestamp: place.at,
    });
    // First this, then the words about it: whoever was removed hears nothing after it.
    tx.record_at(place, &left).await?;
    let notice = SystemNotice::MemberRemoved {
        actor_id: caller.user,
        user_id: whom,
    };
    let text = format!("{} removed {}.", actor.shown_name(), removed.shown_name());
    announce(backend, &mut tx, chat, &notice, &text).await?;
    tx.record(Topic::User(whom), &left, place.at).await?;
    let after = seen_by(backend, &mut tx, caller.user, chat).await?;
    tx.commit().await?;
    Ok(after)
}
