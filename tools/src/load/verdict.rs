//! Whether everybody was told everything, once, and in one order.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

/// Which messages of a chat arrived on one connection, one behind the other, and which of its own were acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub arrived: HashMap<usize, Vec<u32>>,
    pub acknowledged: Vec<(usize, u32)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Deliveries that should have been: each acknowledged message to each connection of each member.
    pub expected: u64,
    /// Of these, how many never came.
    pub lost: u64,
    /// How many came more than once.
    pub duplicates: u64,
    /// How often somebody heard two messages the other way round than the first member of their chat.
    pub out_of_order: u64,
}

impl Verdict {
    /// Processes have whole chats, so what is wrong is wrong in one of them.
    pub fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
    }
}

/// `connections` says which connections belong to each chat.
pub fn judge(heard: &[Heard], connections: &[Vec<usize>]) -> Verdict {
    let mut acknowledged = vec![Vec::new(); connections.len()];
    for (chat, number) in heard.iter().flat_map(|heard| &heard.acknowledged) {
        acknowledged[*chat].push(*number);
    }
    let mut verdict = Verdict::default();
    for (chat, members) in connections.iter().enumerate() {
        let mut order = HashMap::new();
        for connection in members {
            let arrived = heard[*connection]
                .arrived
                .get(&chat)
                .map_or(&[][..], Vec::as_slice);
            let mut seen = HashSet::with_capacity(arrived.len());
            let mut last = 0;
            for number in arrived {
                if !seen.insert(*number) {
                    verdict.duplicates += 1;
                    continue;
                }
                // Whoever hears a message first says where it belongs.
                let next = order.len() + 1;
                let place = *order.entry(*number).or_insert(next);
                verdict.out_of_order += u64::from(place < last);
                last = place;
            }
            verdict.expected += acknowledged[chat].len() as u64;
            verdict.lost += acknowledged[chat]
                .iter()
                .filter(|number| !seen.contains(number))
                .count() as u64;
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(arrived: &[u32], acknowledged: &[u32]) -> Heard {
        Heard {
            arrived: HashMap::from([(0, arrived.to_vec())]),
            acknowledged: acknowledged.iter().map(|number| (0, *number)).collect(),
        }
    }

    #[test]
    fn what_is_missing_double_or_astray_is_found() {
        let connections = [vec![0, 1]];
        let judge =
            |one: &[u32], other: &[u32]| judge(&[heard(one, &[1, 2, 3]), heard(other, &[])], &connections);
        let well = Verdict {
            expected: 6,
            ..Verdict::default()
        };
        assert_eq!(judge(&[2, 1, 3], &[2, 1, 3]), well);
        assert_eq!(judge(&[1, 2, 3], &[1, 3]), Verdict { lost: 1, ..well });
        assert_eq!(
            judge(&[1, 2, 2, 3], &[1, 2, 3]),
            Verdict {
                duplicates: 1,
                ..well
            }
        );
        assert_eq!(
            judge(&[1, 2, 3], &[1, 3, 2]),
            Verdict {
                out_of_order: 1,
                ..well
            }
        );
    }

    /// What two processes find by themselves is what one would find that saw everything.
    #[test]
    fn what_one_of_several_processes_finds_is_found() {
        let of = |chat: usize, arrived: &[u32], acknowledged: &[u32]| Heard {
            arrived: HashMap::from([(chat, arrived.to_vec())]),
            acknowledged: acknowledged.iter().map(|number| (chat, *number)).collect(),
        };
        let right = [1, 2, 3];
        for wrong in [&[1, 3][..], &[1, 2, 2, 3], &[3, 2, 1], &[]] {
            for at_fault in 0..2 {
                let told = |chat| if chat == at_fault { wrong } else { &right };
                let mut sum = Verdict::default();
                let mut everything = Vec::new();
                for chat in 0..2 {
                    let mine = [of(0, &right, &right), of(0, told(chat), &[])];
                    sum.add(judge(&mine, &[vec![0, 1]]));
                    everything.extend([of(chat, &right, &right), of(chat, told(chat), &[])]);
                }
                assert_eq!(sum, judge(&everything, &[vec![0, 1], vec![2, 3]]));
                assert_ne!(sum.lost + sum.duplicates + sum.out_of_order, 0, "{wrong:?}");
                assert_eq!(sum.expected, 12);
            }
        }
    }
}
