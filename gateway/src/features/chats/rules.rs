//! Decisions about chats that need no database.

use shared::{ChatId, text::GroupName};

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

#[cfg(test)]
mod tests {
    use super::*;

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
