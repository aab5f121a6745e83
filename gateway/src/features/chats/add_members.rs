//! Add people to a group. They may read everything that was said before, and are told of nothing but what comes.

use shared::{
    ChatId,
    chat::{AddMembers, Chat, MemberJoined, NewRole},
    event::Event,
    message::SystemNotice,
    problem::Reason,
    topic::Topic,
};

use super::{
    Group, people_named, rules,
    start::{seen_by, tell},
    store,
};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller, accounts, messages::announce::announce, presence},
    limits::Limited,
};

/// So many at once (contract 5.2).
const MOST: usize = 50;

pub async fn add_members(backend: &Backend, caller: &Caller, chat: ChatId, ask: AddMembers) -> Result<Chat> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut entries = ask.participant_ids;
    entries.extend(ask.user_id);
    if entries.is_empty() {
        return Err(Error::invalid("userId", "is required"));
    }
    if entries.len() > MOST {
        return Err(Error::invalid(
            "participantIds",
            format!("must not name more than {MOST} people"),
        ));
    }
    let mut tx = backend.begin().await?;
    let group = Group::in_turn(&mut tx, caller.user, chat).await?;
    rules::may_manage(group.role)?;
    if ask.role == NewRole::Admin {
        rules::must_own(group.role)?;
    }
    let last = entries.len() - 1;
    let field = |index| match ask.user_id {
        Some(_) if index == last => "userId".to_owned(),
        _ => format!("participantIds[{index}]"),
    };
    let people = people_named(&mut tx, caller.user, &entries, field).await?;
    if people.iter().any(|person| group.member(*person).is_some()) {
        return Err(Error::Conflict(Reason::AlreadyMember));
    }
    if group.members().count() + people.len() > backend.settings.group_max_members {
        return Err(Error::Conflict(Reason::GroupFull));
    }
    let names = accounts::people(&mut tx, &backend.settings, &people).await?;
    let names: Vec<_> = people.iter().filter_map(|person| names.get(person)).collect();
    let actor = accounts::user(&mut tx, &backend.settings, caller.user).await?;

    store::hold(&mut tx, chat, &people).await?;
    let place = tx.next_place(Topic::Chat(chat), backend.clock.now()).await?;
    let upto = place.seq - 1;
    store::join(&mut tx, chat, &people, ask.role.into(), upto, place.at).await?;
    // What they are told is how things stood when they came: everything from then on reaches them as it happens.
    let mut found = Chat {
        position: upto,
        ..seen_by(backend, &mut tx, people[0], chat).await?
    };
    presence::seen_by_all(backend, &mut tx, &mut found).await?;
    let mut spot = Some(place);
    for participant in &found.participants {
        if !people.contains(&participant.user_id) {
            continue;
        }
        let joined = Event::MemberJoined(MemberJoined {
            chat_id: chat,
            user_id: participant.user_id,
            participant: participant.clone(),
            added_by: caller.user,
            timestamp: place.at,
        });
        match spot.take() {
            Some(spot) => tx.record_at(spot, &joined).await?,
            None => tx.record(Topic::Chat(chat), &joined, place.at).await?,
        }
    }
    let notice = SystemNotice::MembersAdded {
        actor_id: caller.user,
        user_ids: people.clone(),
    };
    let names: Vec<&str> = names.iter().map(|person| person.shown_name()).collect();
    let text = format!("{} added {}.", actor.shown_name(), rules::listed(&names));
    announce(backend, &mut tx, chat, &notice, &text).await?;
    tell(backend, &mut tx, &found, &people).await?;
    let after = seen_by(backend, &mut tx, caller.user, chat).await?;
    tx.commit().await?;
    Ok(after)
}
