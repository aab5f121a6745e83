//! What the seeds say, read from `story.txt` beside this file. The file is meant to be edited: sections
//! begin with `#`, a person is `username = Full Name`, a contact `one other other…`, and what is said in a
//! chat `username: text`.

use anyhow::{Context as _, Result, bail};

const TEXT: &str = include_str!("story.txt");

#[derive(Debug, Default)]
pub(super) struct Story {
    /// Username and display name.
    pub(super) people: Vec<(String, String)>,
    pub(super) contacts: Vec<(String, String)>,
    pub(super) rooms: Vec<Room>,
}

/// A chat: a group when it has a name. The first member opens it.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Option<String>,
    pub(super) members: Vec<String>,
    /// Who says what.
    pub(super) lines: Vec<(String, String)>,
}

impl Room {
    pub(super) fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.members.join(" and "))
    }
}

enum Section {
    People,
    Contacts,
    Room,
}

impl Story {
    pub(super) fn read() -> Result<Self> {
        Self::parse(TEXT)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut story = Self::default();
        let mut section = None;
        for (number, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let at = || format!("story.txt, line {}: {line}", number + 1);
            if let Some(heading) = line.strip_prefix('#') {
                section = Some(story.begin(heading.trim()).with_context(at)?);
                continue;
            }
            match section {
                Some(Section::People) => {
                    let (username, name) = line.split_once('=').context("no `=`").with_context(at)?;
                    story
                        .people
                        .push((username.trim().to_owned(), name.trim().to_owned()));
                }
                Some(Section::Contacts) => {
                    let mut names = line.split_whitespace().map(str::to_owned);
                    let one = names.next().with_context(at)?;
                    story.contacts.extend(names.map(|other| (one.clone(), other)));
                }
                Some(Section::Room) => {
                    let (speaker, said) = line.split_once(':').context("no `:`").with_context(at)?;
                    let room = story.rooms.last_mut().with_context(at)?;
                    room.lines
                        .push((speaker.trim().to_owned(), said.trim().to_owned()));
                }
                None => bail!("{}: before the first heading", at()),
            }
        }
        story.check()?;
        Ok(story)
    }

    fn begin(&mut self, heading: &str) -> Result<Section> {
        if heading == "people" {
            return Ok(Section::People);
        }
        if heading == "contacts" {
            return Ok(Section::Contacts);
        }
        let (name, members) = if let Some(members) = heading.strip_prefix("direct:") {
            (None, members)
        } else {
            let group = heading
                .strip_prefix("group ")
                .context("people, contacts, direct: or group")?;
            let (name, members) = group.split_once(':').context("no `:` after the group's name")?;
            (Some(name.trim().to_owned()), members)
        };
        let members = members.split_whitespace().map(str::to_owned).collect();
        self.rooms.push(Room {
            name,
            members,
            lines: Vec::new(),
        });
        Ok(Section::Room)
    }

    /// Nobody is mentioned who does not exist, or speaks where he is not.
    fn check(&self) -> Result<()> {
        let exists = |name: &String| self.people.iter().any(|(username, _)| username == name);
        let mentioned = self.contacts.iter().flat_map(|(one, other)| [one, other]);
        let mentioned = mentioned.chain(self.rooms.iter().flat_map(|room| &room.members));
        if let Some(nobody) = mentioned.into_iter().find(|name| !exists(name)) {
            bail!("story.txt speaks of {nobody}, who is not among its people");
        }
        for room in &self.rooms {
            if let Some((stranger, _)) = room
                .lines
                .iter()
                .find(|(speaker, _)| !room.members.contains(speaker))
            {
                bail!(
                    "in story.txt {stranger} speaks in {}, where only members may",
                    room.title()
                );
            }
            let know =
                |pair: &(String, String)| room.members.contains(&pair.0) && room.members.contains(&pair.1);
            if room.name.is_none() && !self.contacts.iter().any(know) {
                bail!("in story.txt {} talk without being contacts", room.title());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Story;

    #[test]
    fn the_story_is_sound_and_long_enough() {
        let story = Story::read().expect("sound");
        assert!(story.people.len() >= 12);
        assert_eq!(story.rooms.iter().filter(|room| room.name.is_some()).count(), 3);
        assert!(story.rooms.iter().map(|room| room.lines.len()).sum::<usize>() >= 200);
    }

    #[test]
    fn a_stranger_may_not_speak() {
        let text = "# people\nann = Ann\nbob = Bob\n# contacts\nann bob\n# group Tea: ann\nbob: hello\n";
        let error = Story::parse(text).expect_err("bob is no member").to_string();
        assert!(error.contains("bob speaks in Tea"), "{error}");
    }
}
