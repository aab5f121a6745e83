//! People with sessions, contacts and groups, made in bulk.
//!
//! With the database in hand, they are written into it: a second for a thousand people, because nobody's password is hashed. Without,
//! they register as everybody does, and come to know each other over REST.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use uuid::Uuid;

use super::token::access_token;
use crate::{
    client::{LoggedIn, Rest},
    dev_stack::psql,
};

/// People who register or act at the same time, when that goes over REST.
const AT_ONCE: usize = 8;

/// How many there are to be.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub people: usize,
    /// Each knows so many of those who come next; so each has twice as many contacts, and a direct chat with each.
    pub contacts: usize,
    pub groups: usize,
    /// Members of a group. Groups take people in turn, so that everybody is in about as many.
    pub group_size: usize,
}

#[derive(Clone, Debug)]
pub struct Person {
    pub id: Uuid,
    pub username: String,
    /// A valid access token.
    pub token: String,
}

#[derive(Clone, Debug)]
pub struct Chat {
    pub id: Uuid,
    /// Who is in it, as places in `Population::people`. A group belongs to the first.
    pub members: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Population {
    pub people: Vec<Person>,
    pub direct_chats: Vec<Chat>,
    pub groups: Vec<Chat>,
}

impl Size {
    /// Who knows whom.
    fn pairs(&self) -> BTreeSet<(usize, usize)> {
        let next = (0..self.people).flat_map(|one| {
            (1..=self.contacts).map(move |step| {
                let other = (one + step) % self.people;
                (one.min(other), one.max(other))
            })
        });
        next.filter(|(one, other)| one != other).collect()
    }

    fn members(&self, group: usize) -> Vec<usize> {
        let first = group * self.group_size;
        (first..first + self.group_size.min(self.people))
            .map(|place| place % self.people)
            .collect()
    }

    fn check(&self) -> Result<()> {
        if self.people < 2 {
            bail!("a crowd has two people at least");
        }
        if self.groups > 0 && !(2..=self.people).contains(&self.group_size) {
            bail!(
                "a group of {} among {} people cannot be",
                self.group_size,
                self.people
            );
        }
        Ok(())
    }
}

impl Population {
    /// Write them into the database. `secret` is the gateway's `JWT_SECRET`.
    pub fn by_database(database_url: &str, secret: &str, size: Size) -> Result<Self> {
        size.check()?;
        let run = Uuid::new_v4().simple().to_string();
        let person = |number| {
            let id = Uuid::now_v7();
            Person {
                id,
                username: format!("c{}_{number}", &run[..8]),
                // Their one login session is called as they are.
                token: access_token(secret, id, id),
            }
        };
        let chat = |members| Chat {
            id: Uuid::now_v7(),
            members,
        };
        let population = Self {
            people: (0..size.people).map(person).collect(),
            direct_chats: size
                .pairs()
                .into_iter()
                .map(|(one, other)| chat(vec![one, other]))
                .collect(),
            groups: (0..size.groups).map(|group| chat(size.members(group))).collect(),
        };
        psql::run(database_url, &population.sql()).context("cannot write people into the database")?;
        Ok(population)
    }

    fn sql(&self) -> String {
        let mut people = String::new();
        for Person { id, username, .. } in &self.people {
            people.push_str(&format!("{id}\t{username}\n"));
        }
        let (mut chats, mut members) = (String::new(), String::new());
        let id = |member: &usize| self.people[*member].id;
        for chat in &self.direct_chats {
            let (one, other) = (id(&chat.members[0]), id(&chat.members[1]));
            chats.push_str(&format!(
                "{}\t\\N\t{}\t{}\n",
                chat.id,
                one.min(other),
                one.max(other)
            ));
        }
        for group in &self.groups {
            chats.push_str(&format!("{}\t{}\t\\N\t\\N\n", group.id, id(&group.members[0])));
        }
        for (chat, is_group) in self.chats() {
            for (place, member) in chat.members.iter().enumerate() {
                let role = if is_group && place == 0 { "owner" } else { "member" };
                members.push_str(&format!("{}\t{}\t{role}\n", chat.id, id(member)));
            }
        }
        include_str!("population.sql")
            .replace("-- people\n", &people)
            .replace("-- chats\n", &chats)
            .replace("-- members\n", &members)
    }

    /// Every chat, and whether it is a group.
    pub fn chats(&self) -> impl Iterator<Item = (&Chat, bool)> {
        let direct_chats = self.direct_chats.iter().map(|chat| (chat, false));
        direct_chats.chain(self.groups.iter().map(|group| (group, true)))
    }

    /// The chats that somebody is in.
    pub fn chats_of(&self, person: usize) -> Vec<Uuid> {
        self.chats()
            .filter(|(chat, _)| chat.members.contains(&person))
            .map(|(chat, _)| chat.id)
            .collect()
    }

    /// Let them register at a gateway, or at the balancer, and come to know each other.
    pub async fn by_rest(base: &str, size: Size) -> Result<Self> {
        size.check()?;
        let run = Uuid::new_v4().simple().to_string();
        let door = Rest::new(base);
        let people: Vec<LoggedIn> = stream::iter(0..size.people)
            .map(|number| {
                let (door, username) = (door.clone(), format!("c{}_{number}", &run[..8]));
                async move { door.register(&username).await }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .context("cannot register the crowd: RATE_LIMITS=off lifts the limits")?;
        let direct_chats: Vec<Chat> = stream::iter(size.pairs())
            .map(|(one, other)| befriend(&people, one, other))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let groups: Vec<Chat> = stream::iter(0..size.groups)
            .map(|group| start_group(&people, size.members(group), group))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let person = |person: LoggedIn| -> Result<Person> {
            Ok(Person {
                id: person.id.parse()?,
                username: person.username,
                token: person.access_token,
            })
        };
        Ok(Self {
            people: people.into_iter().map(person).collect::<Result<_>>()?,
            direct_chats,
            groups,
        })
    }
}

async fn befriend(people: &[LoggedIn], one: usize, other: usize) -> Result<Chat> {
    let (asking, asked) = (&people[one], &people[other]);
    let request = asking
        .rest
        .post("/api/contacts/request", json!({"contactId": asked.id}));
    let request = request.await?.expect(201)?.at("/request/id")?.to_owned();
    asked
        .rest
        .post(&format!("/api/contacts/{request}/accept"), None)
        .await?
        .expect(200)?;
    let chat = asking
        .rest
        .post("/api/chats/direct", json!({"contactId": asked.id}));
    Ok(Chat {
        id: chat.await?.at("/id")?.parse()?,
        members: vec![one, other],
    })
}

async fn start_group(people: &[LoggedIn], members: Vec<usize>, number: usize) -> Result<Chat> {
    let (owner, others) = members.split_first().context("a group without members")?;
    let others: Vec<&str> = others.iter().map(|member| people[*member].id.as_str()).collect();
    let group = json!({"name": format!("Group {number}"), "participantIds": others});
    let group = people[*owner].rest.post("/api/chats/group", group);
    Ok(Chat {
        id: group.await?.expect(201)?.at("/id")?.parse()?,
        members,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        people: 10,
        contacts: 2,
        groups: 5,
        group_size: 4,
    };

    #[test]
    fn everybody_knows_as_many_and_is_in_as_many_groups() {
        let pairs = SIZE.pairs();
        let groups: Vec<_> = (0..SIZE.groups).map(|group| SIZE.members(group)).collect();
        for person in 0..SIZE.people {
            let known = pairs.iter().filter(|(a, b)| *a == person || *b == person);
            assert_eq!(known.count(), 4);
            assert_eq!(
                groups
                    .iter()
                    .flatten()
                    .filter(|member| **member == person)
                    .count(),
                2
            );
        }
    }

    #[test]
    fn a_crowd_that_cannot_be_is_refused() {
        assert!(SIZE.check().is_ok());
        assert!(Size { people: 1, ..SIZE }.check().is_err());
        assert!(
            Size {
                group_size: 11,
                ..SIZE
            }
            .check()
            .is_err()
        );
    }
}
