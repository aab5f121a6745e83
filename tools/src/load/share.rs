//! What each process of a run does: whole chats, with everybody in them. So each process can judge by itself what became of its
//! messages, one clock tells how long they took, and all there is to do with the figures of several is to add them up.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::options::Options;
use crate::crowd::Population;

/// The part of one process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Share {
    pub part: usize,
    pub parts: usize,
    pub began: Beginning,
    /// All chats of the run: who has which turn follows from that.
    pub all_chats: usize,
    pub chats: Vec<Chat>,
    pub sockets: Vec<Socket>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chat {
    pub id: Uuid,
    /// Connections of its members, as places in `Share::sockets`.
    pub sockets: Vec<usize>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Socket {
    pub address: SocketAddr,
    pub token: String,
    /// It stays while others drop, so what it hears tells how much they disturb.
    pub stays: bool,
}

/// The moment from which all processes of a run count seconds, since 1970.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Beginning(Duration);

impl Beginning {
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// As a clock has it that nobody sets.
    pub fn instant(self) -> Instant {
        let now = Instant::now();
        let ago = Self::now().0.saturating_sub(self.0);
        now.checked_sub(ago).unwrap_or(now)
    }
}

impl Share {
    /// Which of its chats has this turn; nothing if another process has it.
    pub fn chat_of(&self, turn: usize) -> Option<usize> {
        let chat = turn % self.all_chats;
        (chat % self.parts == self.part).then_some(chat / self.parts)
    }

    /// How many of so many under way are its own.
    pub fn of(&self, under_way: usize) -> usize {
        let upto = |chats: usize| under_way * chats / self.all_chats.max(1);
        // The chats of those before it count as if they came first.
        let chats_of = |part: usize| (self.all_chats + self.parts - 1 - part) / self.parts;
        let before: usize = (0..self.part).map(chats_of).sum();
        upto(before + chats_of(self.part)) - upto(before)
    }
}

/// Deal all chats out. Whoever is in none only listens, wherever there is room.
pub fn deal(population: &Population, addresses: &[SocketAddr], options: &Options) -> Result<Vec<Share>> {
    let (parts, each, chats) = (
        options.processes,
        options.sockets_per_user,
        population.groups.len(),
    );
    if !(1..=chats).contains(&parts) {
        bail!("{chats} groups cannot be shared among {parts} processes");
    }
    let mut part_of: Vec<usize> = (0..population.people.len())
        .map(|person| person % parts)
        .collect();
    for (number, group) in population.groups.iter().enumerate() {
        group
            .members
            .iter()
            .for_each(|member| part_of[*member] = number % parts);
    }
    let began = Beginning::now();
    let mut shares: Vec<Share> = (0..parts)
        .map(|part| Share {
            part,
            parts,
            began,
            all_chats: chats,
            chats: Vec::new(),
            sockets: Vec::new(),
        })
        .collect();
    let all = population.people.len() * each;
    // Spread over everybody, so that in each chat some stay if any do.
    let before = |number: usize| number * options.storm.min(all) / all;
    let stays = |number: usize| before(number) == before(number + 1);
    let mut first_of = Vec::with_capacity(population.people.len());
    for (number, person) in population.people.iter().enumerate() {
        let sockets = &mut shares[part_of[number]].sockets;
        first_of.push(sockets.len());
        sockets.extend((0..each).map(|device| Socket {
            address: addresses[(number + device) % addresses.len()],
            token: person.token.clone(),
            stays: stays(number * each + device),
        }));
    }
    for (number, group) in population.groups.iter().enumerate() {
        let members = group.members.iter().map(|member| first_of[*member]);
        shares[number % parts].chats.push(Chat {
            id: group.id,
            sockets: members.flat_map(|first| first..first + each).collect(),
        });
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::Parser;

    use super::*;
    use crate::crowd::population;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    /// 23 people, of whom the first 21 are in groups of 3.
    fn dealt(options: &[&str]) -> Result<Vec<Share>> {
        let id = |number: usize| Uuid::from_u128(number as u128);
        let person = |number| population::Person {
            id: id(number),
            username: number.to_string(),
            token: number.to_string(),
        };
        let group = |number| population::Chat {
            id: id(number),
            members: (number * 3..number * 3 + 3).collect(),
        };
        let population = Population {
            people: (0..23).map(person).collect(),
            groups: (0..7).map(group).collect(),
            ..Population::default()
        };
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let options = Cli::parse_from([&["load"], options].concat()).options;
        deal(&population, &[address(1), address(2)], &options)
    }

    #[test]
    fn everybody_is_somewhere_with_their_whole_chat() {
        for processes in ["--processes=1", "--processes=3", "--processes=7"] {
            let shares = dealt(&[processes, "--sockets-per-user=2"]).expect("dealt");
            let (mut chats, mut people) = (HashSet::new(), Vec::new());
            for share in &shares {
                people.extend(share.sockets.iter().map(|socket| socket.token.clone()));
                for chat in &share.chats {
                    let number = chat.id.as_u128() as usize;
                    assert!(chats.insert(number));
                    let tokens = chat
                        .sockets
                        .iter()
                        .map(|socket| share.sockets[*socket].token.clone());
                    // Each member with both connections.
                    let members = (number * 3..number * 3 + 3).flat_map(|member| [member, member]);
                    assert!(tokens.eq(members.map(|member| member.to_string())), "{share:?}");
                }
            }
            assert_eq!((chats.len(), people.len()), (7, 46));
        }
        assert!(dealt(&["--processes=8"]).is_err());
        assert!(dealt(&["--processes=0"]).is_err());
    }

    #[test]
    fn every_turn_is_somebodys() {
        let shares = dealt(&["--processes=3"]).expect("dealt");
        for turn in 0..50 {
            let theirs: Vec<_> = shares
                .iter()
                .filter_map(|share| Some(&share.chats[share.chat_of(turn)?]))
                .collect();
            assert_eq!(theirs.len(), 1);
            assert_eq!(theirs[0].id.as_u128() as usize, turn % 7);
        }
        for under_way in [1, 7, 256] {
            let all: usize = shares.iter().map(|share| share.of(under_way)).sum();
            assert_eq!(all, under_way);
        }
    }

    #[test]
    fn those_who_drop_are_everywhere() {
        let shares = dealt(&["--processes=2", "--storm=10"]).expect("dealt");
        let dropping = |share: &Share| share.sockets.iter().filter(|socket| !socket.stays).count();
        let counts: Vec<_> = shares.iter().map(dropping).collect();
        assert_eq!(counts.iter().sum::<usize>(), 10);
        assert!(counts.iter().all(|count| *count > 2), "{counts:?}");
    }
}
