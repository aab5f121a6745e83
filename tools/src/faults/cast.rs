//! Who plays: people with one or two devices each, in a few groups that overlap.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use uuid::Uuid;

use super::system::System;
use crate::{
    client::Rest,
    crowd::{
        Device, Habits, Population, Size, Town,
        ledger::{Client, Who},
        population::Chat,
    },
};

/// About how long a device waits between two messages.
const PACE: Duration = Duration::from_millis(700);
/// Every so many-th person has a second device.
const TWO_DEVICES: usize = 4;

#[derive(Debug)]
pub struct Cast {
    pub town: Arc<Town>,
    pub population: Population,
    pub devices: Vec<Device>,
    /// Whose each device is, as a place among the people.
    owners: Vec<usize>,
    habits: Vec<Habits>,
}

impl Cast {
    pub fn enter(system: &System, people: usize, seed: u64) -> Result<Self> {
        let size = Size {
            people,
            contacts: 2,
            groups: (people / 4).max(1),
            group_size: 8.min(people),
        };
        let population = Population::by_database(system.database_url(), system.jwt_secret(), size)?;
        let town = Town::new(&system.addresses());
        let mut cast = Self {
            town,
            devices: Vec::new(),
            owners: Vec::new(),
            habits: Vec::new(),
            population,
        };
        for person in 0..people {
            // A third behaves like the existing client.
            cast.add(person, person % 3 == 1, seed);
            if person.is_multiple_of(TWO_DEVICES) {
                cast.add(person, person % 3 != 1, seed);
            }
        }
        Ok(cast)
    }

    fn add(&mut self, person: usize, like_the_existing_client: bool, seed: u64) {
        let client = self.devices.len();
        let habits = Habits {
            resumes: !like_the_existing_client,
            posts: like_the_existing_client,
            pace: PACE,
        };
        let chats = self.population.chats_of(person);
        let seed = seed.wrapping_mul(1_000).wrapping_add(client as u64);
        let who = &self.population.people[person];
        self.devices
            .push(Device::start(&self.town, client, who, chats, habits, seed));
        self.owners.push(person);
        self.habits.push(habits);
    }

    pub fn who(&self) -> Vec<Who> {
        let who = self.owners.iter().zip(&self.habits).map(|(person, habits)| Who {
            user: self.population.people[*person].id,
            resumes: habits.resumes,
        });
        who.collect()
    }

    /// How people call a client.
    pub fn name(&self, client: Client) -> String {
        let habits = &self.habits[client];
        let kind = if habits.resumes { "resumes" } else { "reads" };
        format!("client {client} of person {} ({kind})", self.owners[client])
    }

    pub fn devices_of(&self, person: usize) -> impl Iterator<Item = &Device> {
        self.devices
            .iter()
            .filter(move |device| self.owners[device.client] == person)
    }

    /// Devices that are their person's only one.
    pub fn only_devices(&self) -> impl Iterator<Item = (usize, &Device)> {
        self.devices.iter().filter_map(|device| {
            let person = self.owners[device.client];
            (self.devices_of(person).count() == 1).then_some((person, device))
        })
    }

    /// The door of a replica, with somebody's key.
    pub fn rest(&self, door: usize, person: usize) -> Rest {
        self.town.doors()[door].with_token(&self.population.people[person].token)
    }

    /// Somebody's client, to name them in the ledger.
    pub fn client_of(&self, person: usize) -> Client {
        self.owners
            .iter()
            .position(|owner| *owner == person)
            .unwrap_or_default()
    }

    /// Every chat, and somebody who never leaves it.
    pub fn chats(&self) -> impl Iterator<Item = (&Chat, usize)> {
        self.population.chats().map(|(chat, _)| (chat, chat.members[0]))
    }

    /// Who is called so.
    pub fn person(&self, id: Uuid) -> Option<usize> {
        self.population.people.iter().position(|person| person.id == id)
    }

    /// Whose device it is.
    pub fn owner(&self, client: Client) -> usize {
        self.owners[client]
    }
}
