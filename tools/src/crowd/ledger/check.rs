//! The judgement: what was told, against what the history says.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use uuid::Uuid;

use super::{Breach, Client, Connection, Entry, Finding, Kept, Stay, Truth, What, Who};

/// Everything that is not as promised. `who` lists all clients.
pub fn check(history: &[Entry], who: &[Who], truth: &Truth) -> Vec<Finding> {
    let case = Case::new(history, who, truth);
    let mut findings = case.the_history_itself();
    findings.extend(case.what_was_answered());
    for client in 0..who.len() {
        findings.extend(case.what_was_told(client));
        findings.extend(case.what_arrived(client));
    }
    findings.extend(case.what_was_open());
    findings
}

/// A message of the history, found by its id.
#[derive(Clone, Copy)]
struct Found<'a> {
    chat: Uuid,
    kept: &'a Kept,
}

/// A connection, and what came over it.
struct Line<'a> {
    client: Client,
    opened: Duration,
    closed: Option<Duration>,
    told: Vec<&'a Entry>,
}

struct Case<'a> {
    history: &'a [Entry],
    who: &'a [Who],
    truth: &'a Truth,
    known: HashMap<Uuid, Found<'a>>,
    /// When each key was first sent.
    sent: HashMap<&'a str, Duration>,
    lines: BTreeMap<Connection, Line<'a>>,
    /// Where each client begins in each chat.
    begins: HashMap<(Client, Uuid), i64>,
    /// When somebody was first asked back into a chat.
    readmitted: HashMap<(Uuid, Uuid), Duration>,
}

impl<'a> Case<'a> {
    fn new(history: &'a [Entry], who: &'a [Who], truth: &'a Truth) -> Self {
        let mut case = Self {
            history,
            who,
            truth,
            known: HashMap::new(),
            sent: HashMap::new(),
            lines: BTreeMap::new(),
            begins: HashMap::new(),
            readmitted: HashMap::new(),
        };
        for (chat, kept) in &truth.chats {
            for kept in kept {
                case.known.insert(kept.message, Found { chat: *chat, kept });
            }
        }
        for entry in history {
            match &entry.what {
                What::Sent { key, .. } => {
                    case.sent.entry(key).or_insert(entry.at);
                }
                What::Opened { connection, .. } => {
                    let line = Line {
                        client: entry.client,
                        opened: entry.at,
                        closed: None,
                        told: Vec::new(),
                    };
                    case.lines.insert(*connection, line);
                }
                What::Told { connection, .. } => {
                    if let Some(line) = case.lines.get_mut(connection) {
                        line.told.push(entry);
                    }
                }
                What::Closed { connection, .. } => {
                    if let Some(line) = case.lines.get_mut(connection) {
                        line.closed = Some(entry.at);
                    }
                }
                What::Begins { chat, seq } => {
                    case.begins.entry((entry.client, *chat)).or_insert(*seq);
                }
                What::Readmits { chat, user } => {
                    case.readmitted.entry((*chat, *user)).or_insert(entry.at);
                }
                _ => {}
            }
        }
        case
    }

    /// Pages are in the order of the places, each place and each key is one message.
    fn the_history_itself(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut keys = HashMap::new();
        for (chat, messages) in &self.truth.chats {
            for pair in messages.windows(2) {
                if pair[0].seq >= pair[1].seq {
                    let detail = format!("its page lists place {} before {}", pair[0].seq, pair[1].seq);
                    findings.push(finding(Breach::Misplaced, *chat, pair[1].message, None, detail));
                }
            }
            for kept in messages {
                let Some(key) = &kept.key else { continue };
                if let Some(first) = keys.insert(key, kept.message) {
                    let detail = format!("{key} is also message {first}");
                    findings.push(finding(Breach::SentTwice, *chat, kept.message, None, detail));
                }
            }
        }
        findings
    }

    fn what_was_answered(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut answered: HashMap<&str, Uuid> = HashMap::new();
        let by_key: HashMap<&str, Found<'_>> = self
            .known
            .values()
            .filter_map(|found| Some((found.kept.key.as_deref()?, *found)))
            .collect();
        for entry in self.history {
            match &entry.what {
                What::Acknowledged {
                    key,
                    chat,
                    message,
                    seq,
                } => {
                    let mut note = |breach, detail| {
                        findings.push(finding(breach, *chat, *message, Some(entry.client), detail));
                    };
                    if let Some(first) = answered.insert(key, *message)
                        && first != *message
                    {
                        note(Breach::SentTwice, format!("{key} was answered as {first} before"));
                    }
                    match self.known.get(message) {
                        None if *seq > self.since(*chat) => {
                            note(Breach::Lost, format!("{key} was acknowledged at place {seq}"));
                        }
                        Some(found) if found.kept.seq != *seq || found.chat != *chat => {
                            let kept = found.kept.seq;
                            note(
                                Breach::Misplaced,
                                format!("acknowledged at place {seq}, kept at {kept}"),
                            );
                        }
                        _ => {}
                    }
                }
                What::Refused { key, why } => {
                    if let Some(found) = by_key.get(key.as_str()) {
                        let detail = format!("{key} was refused ({why}), kept at place {}", found.kept.seq);
                        let (chat, message) = (found.chat, found.kept.message);
                        findings.push(finding(Breach::Denied, chat, message, Some(entry.client), detail));
                    }
                }
                _ => {}
            }
        }
        findings
    }

    /// One client's connections, event by event.
    fn what_was_told(&self, client: Client) -> Vec<Finding> {
        let mut findings = Vec::new();
        // What a client that names its positions has, over all its connections.
        let mut reached: HashMap<Uuid, i64> = HashMap::new();
        let mut has = HashSet::new();
        for (connection, line) in self.lines.iter().filter(|(_, line)| line.client == client) {
            let mut live_up_to: HashMap<Uuid, i64> = HashMap::new();
            let mut here = HashSet::new();
            for entry in &line.told {
                let What::Told {
                    chat, message, seq, ..
                } = entry.what
                else {
                    continue;
                };
                if seq <= self.since(chat) {
                    continue;
                }
                let mut note = |breach, detail| {
                    findings.push(finding(breach, chat, message, Some(client), detail));
                };
                match self.known.get(&message) {
                    None => note(
                        Breach::Phantom,
                        format!("told at place {seq} on connection {connection}"),
                    ),
                    Some(found) if found.kept.seq != seq || found.chat != chat => {
                        let kept = found.kept.seq;
                        note(Breach::Misplaced, format!("told at place {seq}, kept at {kept}"));
                    }
                    Some(_) => {}
                }
                if self.is_stranger(client, chat, seq, line.opened) {
                    let detail =
                        format!("told at place {seq} on connection {connection}, outside every stay");
                    note(Breach::Leaked, detail);
                }
                let is_live = self.is_live(message, line);
                if !here.insert(message) {
                    if is_live {
                        note(
                            Breach::ToldTwice,
                            format!("both times on connection {connection}"),
                        );
                    }
                    continue;
                }
                // A client that does not resume is told again what a broken connection may have lost; what happens while
                // it is connected comes in order all the same.
                let resumes = self.who[client].resumes;
                let last = if resumes { &mut reached } else { &mut live_up_to };
                if !resumes && !is_live {
                    continue;
                }
                if !has.insert(message) {
                    continue;
                }
                let last = last.entry(chat).or_insert(self.begins(client, chat));
                if seq < *last && seq > self.begins(client, chat) {
                    note(
                        Breach::Disorder,
                        format!("place {seq} came behind {last} on connection {connection}"),
                    );
                }
                *last = seq.max(*last);
            }
        }
        findings
    }

    /// Whether one client has in the end what its person should have.
    fn what_arrived(&self, client: Client) -> Vec<Finding> {
        let (mut told, mut read) = (HashSet::new(), HashSet::new());
        for entry in self.history.iter().filter(|entry| entry.client == client) {
            match entry.what {
                What::Told { message, .. } => told.insert(message),
                What::Read { message, .. } => read.insert(message),
                _ => continue,
            };
        }
        let who = &self.who[client];
        let is_alone = self.who.iter().filter(|other| other.user == who.user).count() == 1;
        let mut findings = Vec::new();
        for (chat, kept) in self.all() {
            let expected = self.is_owed(client, chat, kept.seq) && kept.seq > self.begins(client, chat);
            if !expected || told.contains(&kept.message) {
                continue;
            }
            // Whoever was let in again may read what was said before, and is not told of it.
            let is_caught_up_with = !who.resumes
                && is_alone
                && kept.sender != Some(who.user)
                && self
                    .stays(client, chat)
                    .last()
                    .is_some_and(|stay| stay.covers(kept.seq));
            let breach = match read.contains(&kept.message) {
                false => Breach::NotTold,
                true if is_caught_up_with => Breach::NotCaughtUp,
                true => continue,
            };
            let detail = format!("place {}, key {:?}", kept.seq, kept.key);
            findings.push(finding(breach, chat, kept.message, Some(client), detail));
        }
        findings
    }

    /// Whether everything that was sent while a connection was open came over it.
    fn what_was_open(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (connection, line) in &self.lines {
            let mut reached: HashMap<Uuid, i64> = HashMap::new();
            let mut has = HashSet::new();
            for entry in &line.told {
                if let What::Told {
                    chat, message, seq, ..
                } = entry.what
                {
                    let reached = reached.entry(chat).or_default();
                    *reached = seq.max(*reached);
                    has.insert(message);
                }
            }
            for (chat, kept) in self.all() {
                if has.contains(&kept.message)
                    || !self.is_live(kept.message, line)
                    || !self.is_owed(line.client, chat, kept.seq)
                {
                    continue;
                }
                let passed = reached.get(&chat).is_some_and(|reached| *reached > kept.seq);
                let detail = match line.closed {
                    _ if passed => format!("place {}: later ones came on connection {connection}", kept.seq),
                    None => format!("place {}: connection {connection} was open to the end", kept.seq),
                    Some(_) => continue,
                };
                findings.push(finding(
                    Breach::Hole,
                    chat,
                    kept.message,
                    Some(line.client),
                    detail,
                ));
            }
        }
        findings
    }

    fn all(&self) -> impl Iterator<Item = (Uuid, &Kept)> {
        self.truth
            .chats
            .iter()
            .flat_map(|(chat, messages)| messages.iter().map(|kept| (*chat, kept)))
    }

    /// Sent when the connection was open already. What the system says has no key, so nobody knows.
    fn is_live(&self, message: Uuid, line: &Line<'_>) -> bool {
        let key = self
            .known
            .get(&message)
            .and_then(|found| found.kept.key.as_deref());
        key.and_then(|key| self.sent.get(key))
            .is_some_and(|sent| *sent > line.opened)
    }

    fn since(&self, chat: Uuid) -> i64 {
        self.truth.since.get(&chat).copied().unwrap_or_default()
    }

    fn begins(&self, client: Client, chat: Uuid) -> i64 {
        let begins = self.begins.get(&(client, chat)).copied().unwrap_or_default();
        begins.max(self.since(chat))
    }

    fn is_member(&self, client: Client, chat: Uuid, seq: i64) -> bool {
        self.stays(client, chat).any(|stay| stay.covers(seq))
    }

    /// Whoever is removed forfeits what is on its way to them: let in again, they may read it, but are not told of it.
    fn is_owed(&self, client: Client, chat: Uuid, seq: i64) -> bool {
        let stay = self.stays(client, chat).last();
        stay.is_some_and(|stay| stay.before.is_none() && stay.covers(seq))
    }

    /// When a client's person was in a chat, the first time first.
    fn stays(&self, client: Client, chat: Uuid) -> impl Iterator<Item = &Stay> {
        let user = self.who[client].user;
        let stays = self.truth.stays.get(&chat).into_iter().flatten();
        stays.filter(move |stay| stay.user == user)
    }

    /// Whoever is let in again may read what was said meanwhile, on connections that they open then.
    fn is_stranger(&self, client: Client, chat: Uuid, seq: i64, opened: Duration) -> bool {
        let user = self.who[client].user;
        let readmitted = self.readmitted.get(&(chat, user));
        !self.is_member(client, chat, seq) && readmitted.is_none_or(|asked| *asked > opened)
    }
}

fn finding(
    breach: Breach,
    chat: Uuid,
    message: Uuid,
    client: Option<Client>,
    detail: impl Into<String>,
) -> Finding {
    Finding {
        breach,
        chat,
        message,
        client,
        detail: detail.into(),
    }
}
