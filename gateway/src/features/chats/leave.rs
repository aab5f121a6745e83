//! Leave a group. When its owner goes, it passes to another; when the last one goes, it is over.

use shared::{
    ChatId, UserId,
    chat::{ChatGone, MemberLeft, Role},
    event::Event,
    message::SystemNotice,
    topic::Topic,
};

use super::{Group, rules, store};
use crate::{
    error::Result,
    features::{Backend, Caller, accounts, messages::announce::announce},
    limits::Limited,
};

pub async fn leave(backend: &Backend, caller: &Caller, chat: ChatId) -> Result<()> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let group = Group::in_turn(&mut tx, caller.user, chat).await?;
    let is_last = group.members().count() == 1;
    let others = group.members().filter(|member| member.user != caller.user);
    let heir = rules::heir(others).filter(|_| group.role == Role::Owner);
    let involved: Vec<UserId> = heir.into_iter().chain([caller.user]).collect();
    let names = accounts::people(&mut tx, &backend.settings, &involved).await?;
    let name = |user| names.get(&user).map_or("Somebody", |person| person.shown_name());

    store::hold(&mut tx, chat, &involved).await?;
    let place = tx.next_place(Topic::Chat(chat), backend.clock.now()).await?;
    store::leave(&mut tx, chat, &[caller.user], place.at).await?;
    let left = Event::MemberLeft(MemberLeft {
        chat_id: chat,
        user_id: caller.user,
        removed_by: caller.user,
        new_owner_id: heir,
        timestamp: place.at,
    });
    // First this, then the words about it: whoever left hears nothing after it.
    tx.record_at(place, &left).await?;
    if is_last {
        store::delete(&mut tx, chat, place.at).await?;
        let gone = Event::ChatDeleted(ChatGone {
            id: chat,
            chat_id: chat,
            deleted_by: None,
            timestamp: place.at,
        });
        tx.record(Topic::Chat(chat), &gone, place.at).await?;
    } else {
        let notice = SystemNotice::MemberLeft { user_id: caller.user };
        let text = format!("{} left the group.", name(caller.user));
        announce(backend, &mut tx, chat, &notice, &text).await?;
    }
    if let Some(heir) = heir {
        store::pass_ownership(&mut tx, chat, heir).await?;
        let notice = SystemNotice::OwnershipPassed { user_id: heir };
        let text = format!("{} owns the group now.", name(heir));
        announce(backend, &mut tx, chat, &notice, &text).await?;
    }
    tx.record(Topic::User(caller.user), &left, place.at).await?;
    tx.commit().await
}
