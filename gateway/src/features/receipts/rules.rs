//! Decisions about receipts that need no database.

use std::collections::HashMap;

use shared::{ChatId, UserId, message::ReadCount, topic::Seq};

use super::store::{Moved, Position, Told};

/// How many of the members other than its author, who were there when it was said, have read a message.
pub(super) fn read_count(members: &[Position], author: UserId, seq: Seq) -> ReadCount {
    let (mut total, mut read) = (0, 0);
    let was_there = |member: &&Position| member.user != author && member.joined_seq < seq;
    for member in members.iter().filter(was_there) {
        total += 1;
        read += i64::from(member.read_seq >= seq);
    }
    ReadCount { total, read }
}

/// Who was how far in each chat before some of them got further.
pub(super) struct Reach {
    /// The two who were furthest: all that matters is how far somebody other than the author was.
    before: HashMap<ChatId, [(Option<UserId>, Seq); 2]>,
    /// Who got further, in the order of the chats and of the people.
    moved: Vec<Moved>,
}

impl Reach {
    pub(super) fn new(members: &[Position], moved: &[Moved]) -> Self {
        let from: HashMap<_, _> = moved
            .iter()
            .map(|moved| ((moved.chat, moved.user), moved.from))
            .collect();
        let mut before = HashMap::new();
        for member in members {
            let was = from.get(&(member.chat, member.user)).copied();
            let was = was.unwrap_or(member.delivered_seq);
            // Nothing has reached them since they came.
            let was = if was > member.joined_seq { was } else { 0 };
            let [first, second] = before.entry(member.chat).or_insert([(None, 0); 2]);
            if was > first.1 {
                (*first, *second) = ((Some(member.user), was), *first);
            } else if was > second.1 {
                *second = (Some(member.user), was);
            }
        }
        let mut moved = moved.to_vec();
        moved.sort_unstable_by_key(|moved| (moved.chat, moved.user));
        Self { before, moved }
    }

    /// In each chat, the stretch in which messages may have reached somebody for the first time.
    pub(super) fn stretches(&self) -> Vec<(ChatId, Seq, Seq)> {
        let by_chat = self.moved.chunk_by(|a, b| a.chat == b.chat);
        let stretches = by_chat.filter_map(|of_chat| {
            let chat = of_chat.first()?.chat;
            let from = self.before.get(&chat).map_or(0, |[_, second]| second.1);
            let upto = of_chat.iter().map(|moved| moved.upto).max()?;
            (from < upto).then_some((chat, from, upto))
        });
        stretches.collect()
    }

    /// To whom the message came first, if it came to nobody before.
    pub(super) fn first_to_get(&self, message: &Told) -> Option<UserId> {
        let furthest = self.before.get(&message.chat).into_iter().flatten();
        let before = furthest
            .filter(|(user, _)| *user != Some(message.author))
            .map(|(_, seq)| *seq)
            .max();
        if before.is_some_and(|before| before >= message.seq) {
            return None;
        }
        let of_chat = self.moved.partition_point(|moved| moved.chat < message.chat);
        let of_chat = self.moved[of_chat..]
            .iter()
            .take_while(|moved| moved.chat == message.chat);
        let mut others = of_chat.filter(|moved| moved.user != message.author);
        others
            .find(|moved| (moved.from + 1..=moved.upto).contains(&message.seq))
            .map(|moved| moved.user)
    }
}

#[cfg(test)]
mod tests {
    use shared::MessageId;
    use uuid::Uuid;

    use super::*;

    const CHAT: ChatId = ChatId(Uuid::nil());

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn member(number: u128, delivered_seq: Seq, read_seq: Seq) -> Position {
        Position {
            chat: CHAT,
            user: user(number),
            joined_seq: 0,
            delivered_seq,
            read_seq,
        }
    }

    fn moved(number: u128, from: Seq, upto: Seq) -> Moved {
        Moved {
            chat: CHAT,
            user: user(number),
            from,
            upto,
        }
    }

    fn message(author: u128, seq: Seq) -> Told {
        Told {
            id: MessageId::new(),
            chat: CHAT,
            author: user(author),
            seq,
        }
    }

    #[test]
    fn authors_do_not_count_as_readers() {
        let members = [member(1, 9, 9), member(2, 9, 5), member(3, 9, 0)];
        let count = |author, seq| read_count(&members, user(author), seq);
        assert_eq!(count(1, 5), ReadCount { total: 2, read: 1 });
        assert_eq!(count(3, 6), ReadCount { total: 2, read: 1 });
        assert_eq!(count(4, 1), ReadCount { total: 3, read: 2 });
    }

    #[test]
    fn only_the_first_recipient_counts() {
        // As the database says afterwards.
        let members = [member(1, 9, 0), member(2, 9, 0), member(3, 4, 0)];
        let reach = Reach::new(&members, &[moved(2, 2, 9)]);
        assert_eq!(reach.stretches(), [(CHAT, 4, 9)]);
        assert_eq!(reach.first_to_get(&message(1, 4)), None, "the third has it");
        assert_eq!(reach.first_to_get(&message(1, 5)), Some(user(2)));
        assert_eq!(reach.first_to_get(&message(3, 5)), None, "the first has it");
        assert_eq!(reach.first_to_get(&message(2, 5)), None, "their own");
        assert_eq!(reach.first_to_get(&message(1, 10)), None, "nobody has it");
    }

    #[test]
    fn nothing_happens_behind_the_others() {
        let members = [member(1, 9, 0), member(2, 9, 0), member(3, 9, 0)];
        assert!(Reach::new(&members, &[moved(3, 2, 9)]).stretches().is_empty());
    }

    #[test]
    fn two_who_get_it_at_once() {
        let members = [member(1, 0, 0), member(2, 5, 0), member(3, 7, 0)];
        let reach = Reach::new(&members, &[moved(3, 0, 7), moved(2, 0, 5)]);
        assert_eq!(reach.stretches(), [(CHAT, 0, 7)]);
        assert_eq!(reach.first_to_get(&message(1, 5)), Some(user(2)));
        assert_eq!(reach.first_to_get(&message(1, 6)), Some(user(3)));
        assert_eq!(reach.first_to_get(&message(2, 3)), Some(user(3)));
    }
}
