//! Decisions about chats that need no database.

use shared::{ChatId, UserId, chat::Role, problem::Reason, text::GroupName};

use super::store::Known;
use crate::error::{Error, Result};

const SLUG_MAX: usize = 100;

/// The readable part of a group's address: its name, folded to what needs no escaping, and a piece of its id against twins.
pub(super) fn slug(name: &GroupName, id: ChatId) -> String {
    // The end of a UUIDv7 is random; its beginning is the time, which twins share.
    let id = id.0.simple().to_string();
    let tail = &id[id.len() - 8..];
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(SLUG_MAX - tail.len() - 1);
    match slug.trim_end_matches('-') {
        "" => format!("group-{tail}"),
        readable => format!("{readable}-{tail}"),
    }
}

/// Rename a group, add people, remove people.
pub(super) fn may_manage(role: Role) -> Result<()> {
    match role {
        Role::Owner | Role::Admin => Ok(()),
        Role::Member => Err(Error::Forbidden(Reason::NotAdmin)),
    }
}

/// Delete a group, or make admins.
pub(super) fn must_own(role: Role) -> Result<()> {
    match role {
        Role::Owner => Ok(()),
        Role::Admin | Role::Member => Err(Error::Forbidden(Reason::NotOwner)),
    }
}

/// Who owns a group when its owner goes: of the admins whoever has been there longest, else of all.
pub(super) fn heir<'a>(others: impl Iterator<Item = &'a Known>) -> Option<UserId> {
    let heir = others.min_by_key(|member| (member.role != Role::Admin, member.joined_at, member.user));
    heir.map(|member| member.user)
}

/// `Ada`, `Ada and Bob`, `Ada, Bob and Carl`
pub(super) fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admins_inherit_before_those_who_have_been_there_longer() {
        let member = |role, minute: i64| Known {
            user: UserId::new(),
            role,
            joined_at: chrono::DateTime::from_timestamp(minute * 60, 0).unwrap(),
            is_member: true,
        };
        let members = [
            member(Role::Member, 1),
            member(Role::Admin, 3),
            member(Role::Admin, 2),
            member(Role::Member, 0),
        ];
        assert_eq!(heir(members.iter()), Some(members[2].user));
        assert_eq!(
            heir(members.iter().filter(|member| member.role == Role::Member)),
            Some(members[3].user)
        );
        assert_eq!(heir([].iter()), None);
    }

    #[test]
    fn names_are_listed_as_people_would() {
        assert_eq!(listed(&["Ada"]), "Ada");
        assert_eq!(listed(&["Ada", "Bob"]), "Ada and Bob");
        assert_eq!(listed(&["Ada", "Bob", "Carl"]), "Ada, Bob and Carl");
    }

    #[test]
    fn slugs_are_readable_and_unique() {
        let id = ChatId("019a0000-0000-7000-8000-0123456789ab".parse().unwrap());
        let slug_of = |name: &str| slug(&GroupName::try_from(name.to_owned()).unwrap(), id);
        assert_eq!(slug_of("Tea & Biscuits!"), "tea-biscuits-456789ab");
        assert_eq!(slug_of("Привет"), "group-456789ab");
        assert_eq!(slug_of(&"x".repeat(100)).len(), SLUG_MAX);
        assert_eq!(slug_of("  --a--  "), "a-456789ab");
    }
}
