//! A history in which all is well, and then one doctored in each way that the judgement has to notice.

use super::*;

const ALICE: Client = 0;
const BEN: Client = 1;
const CARL: Client = 2;

/// Alice and Ben are in the chat, Carl is not. Alice sends three messages.
#[derive(Clone)]
struct Tale {
    entries: Vec<Entry>,
    truth: Truth,
    chat: Uuid,
    users: [Uuid; 3],
    messages: [Uuid; 3],
    resumes: bool,
}

fn key(number: usize) -> String {
    format!("key-{number}")
}

impl Tale {
    fn new() -> Self {
        let ids = [(); 3].map(|()| Uuid::new_v4());
        let users = [(); 3].map(|()| Uuid::new_v4());
        let chat = Uuid::new_v4();
        let kept = |place: usize| Kept {
            message: ids[place],
            seq: 11 + place as i64,
            sender: Some(users[ALICE]),
            key: Some(key(place)),
        };
        let stay = |client: Client| Stay {
            user: users[client],
            after: 0,
            before: None,
        };
        let truth = Truth {
            since: HashMap::from([(chat, 10)]),
            chats: HashMap::from([(chat, (0..3).map(kept).collect())]),
            stays: HashMap::from([(chat, vec![stay(ALICE), stay(BEN)])]),
        };
        Self {
            entries: Vec::new(),
            truth,
            chat,
            users,
            messages: ids,
            resumes: true,
        }
    }

    fn then(&mut self, client: Client, what: What) -> &mut Self {
        let at = Duration::from_millis(self.entries.len() as u64);
        self.entries.push(Entry { at, client, what });
        self
    }

    fn opens(&mut self, client: Client, connection: Connection) -> &mut Self {
        let to = "somewhere".to_owned();
        self.then(client, What::Opened { connection, to })
    }

    fn closes(&mut self, client: Client, connection: Connection) -> &mut Self {
        let why = "cut".to_owned();
        self.then(client, What::Closed { connection, why })
    }

    fn sends(&mut self, number: usize) -> &mut Self {
        let (chat, key) = (self.chat, key(number));
        self.then(ALICE, What::Sent { key, chat })
    }

    fn answers(&mut self, number: usize) -> &mut Self {
        let answer = What::Acknowledged {
            key: key(number),
            chat: self.chat,
            message: self.messages[number],
            seq: 11 + number as i64,
        };
        self.then(ALICE, answer)
    }

    fn tells(&mut self, client: Client, connection: Connection, number: usize) -> &mut Self {
        let told = What::Told {
            connection,
            chat: self.chat,
            message: self.messages[number],
            seq: 11 + number as i64,
        };
        self.then(client, told)
    }

    /// Everything comes to everybody, in order.
    fn all_is_well() -> Self {
        let mut tale = Self::new();
        tale.opens(ALICE, 0).opens(BEN, 1);
        for number in 0..3 {
            tale.sends(number).answers(number);
            tale.tells(ALICE, 0, number).tells(BEN, 1, number);
        }
        tale
    }

    fn findings(&self) -> Vec<Finding> {
        let who = |client: Client| Who {
            user: self.users[client],
            resumes: self.resumes,
        };
        check(&self.entries, &[who(ALICE), who(BEN), who(CARL)], &self.truth)
    }

    fn breaches(&self) -> Vec<Breach> {
        let mut breaches: Vec<_> = self.findings().iter().map(|finding| finding.breach).collect();
        breaches.sort_unstable();
        breaches.dedup();
        breaches
    }

    /// Without the first entry that fits.
    fn without(mut self, fits: impl Fn(&Entry) -> bool) -> Self {
        let place = self.entries.iter().position(fits).expect("there is one");
        self.entries.remove(place);
        self
    }

    fn is_told(&self, client: Client, number: usize) -> impl Fn(&Entry) -> bool + use<> {
        let message = self.messages[number];
        move |entry| {
            entry.client == client
                && matches!(entry.what, What::Told { message: told, .. } if told == message)
        }
    }

    fn kept(&mut self) -> &mut Vec<Kept> {
        self.truth.chats.get_mut(&self.chat).expect("the chat")
    }
}

#[test]
fn nothing_is_found_where_all_is_well() {
    let mut tale = Tale::all_is_well();
    assert_eq!(tale.findings(), []);
    tale.resumes = false;
    assert_eq!(tale.findings(), []);
}

#[test]
fn who_was_away_may_be_told_later_and_again() {
    let mut tale = Tale::new();
    tale.opens(ALICE, 0).opens(BEN, 1);
    tale.sends(0)
        .answers(0)
        .tells(ALICE, 0, 0)
        .tells(BEN, 1, 0)
        .closes(BEN, 1);
    tale.sends(1).answers(1).tells(ALICE, 0, 1);
    tale.opens(BEN, 2).tells(BEN, 2, 0).tells(BEN, 2, 1);
    tale.sends(2).tells(ALICE, 0, 2).tells(BEN, 2, 2).answers(2);
    assert_eq!(tale.findings(), []);
}

#[test]
fn an_acknowledged_message_that_is_not_kept_is_lost() {
    let mut tale = Tale::all_is_well();
    tale.kept().pop();
    assert_eq!(tale.breaches(), [Breach::Lost, Breach::Phantom]);
}

#[test]
fn what_somebody_has_neither_heard_nor_read_is_not_told() {
    let mut tale = Tale::new();
    tale.opens(ALICE, 0).opens(BEN, 1).closes(BEN, 1);
    for number in 0..3 {
        tale.sends(number).answers(number).tells(ALICE, 0, number);
    }
    tale.opens(BEN, 2).tells(BEN, 2, 0).tells(BEN, 2, 2);
    assert_eq!(tale.breaches(), [Breach::NotTold]);
    let (chat, message) = (tale.chat, tale.messages[1]);
    tale.then(
        BEN,
        What::Read {
            chat,
            message,
            seq: 12,
        },
    );
    assert_eq!(tale.findings(), []);
}

#[test]
fn a_client_without_positions_is_caught_up_with_all_the_same() {
    let mut tale = Tale::new();
    tale.resumes = false;
    tale.opens(ALICE, 0).opens(BEN, 1);
    tale.sends(0)
        .answers(0)
        .tells(ALICE, 0, 0)
        .tells(BEN, 1, 0)
        .closes(BEN, 1);
    tale.sends(1).answers(1).tells(ALICE, 0, 1);
    tale.opens(BEN, 2);
    tale.sends(2).answers(2).tells(ALICE, 0, 2).tells(BEN, 2, 2);
    let (chat, message) = (tale.chat, tale.messages[1]);
    tale.then(
        BEN,
        What::Read {
            chat,
            message,
            seq: 12,
        },
    );
    assert_eq!(tale.breaches(), [Breach::NotCaughtUp]);
}

#[test]
fn whoever_is_let_in_again_is_owed_what_came_since() {
    let mut tale = Tale::all_is_well();
    let told = tale.is_told(BEN, 1);
    tale = tale.without(told);
    assert_eq!(tale.breaches(), [Breach::NotTold, Breach::Hole]);
    let user = tale.users[BEN];
    let stays = tale.truth.stays.get_mut(&tale.chat).expect("the chat");
    stays[BEN].before = Some(13);
    stays.push(Stay {
        user,
        after: 12,
        before: None,
    });
    assert_eq!(tale.findings(), [], "it was in an earlier life");
}

#[test]
fn a_client_expects_nothing_before_it_begins() {
    let mut tale = Tale::all_is_well();
    let chat = tale.chat;
    let told = tale.is_told(BEN, 0);
    tale = tale.without(told);
    // It came a moment before the connection, so that the connection owes nothing.
    tale.entries[1].at = tale.entries[2].at;
    assert_eq!(tale.breaches(), [Breach::NotTold]);
    tale.then(BEN, What::Begins { chat, seq: 11 });
    assert_eq!(tale.findings(), []);
}

#[test]
fn an_open_connection_owes_everything() {
    for missing in [1, 2] {
        let tale = Tale::all_is_well();
        let told = tale.is_told(BEN, missing);
        let mut tale = tale.without(told);
        let (chat, message) = (tale.chat, tale.messages[missing]);
        let seq = 11 + missing as i64;
        tale.then(BEN, What::Read { chat, message, seq });
        assert_eq!(tale.breaches(), [Breach::Hole], "reading does not mend it");
        tale.closes(BEN, 1);
        let expected: &[Breach] = if missing == 1 { &[Breach::Hole] } else { &[] };
        assert_eq!(tale.breaches(), expected, "the last may have been on its way");
    }
}

#[test]
fn every_client_hears_the_one_order() {
    for resumes in [true, false] {
        let mut tale = Tale::all_is_well();
        tale.resumes = resumes;
        let place = |number| {
            let told = tale.is_told(BEN, number);
            tale.entries.iter().position(told).expect("told")
        };
        let (first, second) = (place(1), place(2));
        let what = tale.entries[first].what.clone();
        tale.entries[first].what = tale.entries[second].what.clone();
        tale.entries[second].what = what;
        assert_eq!(tale.breaches(), [Breach::Disorder], "resumes: {resumes}");
    }
}

#[test]
fn a_client_that_resumes_is_never_told_late() {
    let mut tale = Tale::new();
    tale.opens(ALICE, 0).opens(BEN, 1);
    for number in 0..3 {
        tale.sends(number).answers(number).tells(ALICE, 0, number);
    }
    tale.tells(BEN, 1, 0).closes(BEN, 1);
    tale.opens(BEN, 2).tells(BEN, 2, 2).tells(BEN, 2, 1);
    assert_eq!(tale.breaches(), [Breach::Disorder]);
    tale.resumes = false;
    assert_eq!(tale.findings(), [], "others are, when a connection broke");
}

#[test]
fn a_send_is_one_message() {
    let mut tale = Tale::all_is_well();
    let message = Uuid::new_v4();
    tale.kept().push(Kept {
        message,
        seq: 14,
        sender: None,
        key: Some(key(2)),
    });
    assert!(tale.breaches().contains(&Breach::SentTwice), "in the history");

    let mut tale = Tale::all_is_well();
    let other = What::Acknowledged {
        key: key(2),
        chat: tale.chat,
        message: tale.messages[1],
        seq: 12,
    };
    tale.sends(2).then(ALICE, other);
    assert_eq!(tale.breaches(), [Breach::SentTwice], "in the answers");
}

#[test]
fn nothing_live_comes_twice() {
    let mut tale = Tale::all_is_well();
    tale.tells(BEN, 1, 2);
    assert_eq!(tale.breaches(), [Breach::ToldTwice]);
}

#[test]
fn everybody_agrees_about_the_place() {
    let mut tale = Tale::all_is_well();
    tale.kept().swap(0, 1);
    assert_eq!(tale.breaches(), [Breach::Misplaced], "the page");

    let mut tale = Tale::all_is_well();
    for entry in &mut tale.entries {
        if let What::Acknowledged { seq, .. } = &mut entry.what {
            *seq = 11;
        }
    }
    assert_eq!(tale.breaches(), [Breach::Misplaced], "the answer");

    let mut tale = Tale::all_is_well();
    let told = tale.is_told(BEN, 2);
    for entry in tale.entries.iter_mut().filter(|entry| told(entry)) {
        if let What::Told { seq, .. } = &mut entry.what {
            *seq = 15;
        }
    }
    assert_eq!(tale.breaches(), [Breach::Misplaced], "the event");
}

#[test]
fn strangers_are_told_nothing() {
    let mut tale = Tale::all_is_well();
    tale.opens(CARL, 2).tells(CARL, 2, 0);
    assert_eq!(tale.breaches(), [Breach::Leaked]);
}

#[test]
fn whoever_was_removed_is_told_nothing_behind_it() {
    // Removed at place 12, back from place 13 on.
    let removed = || {
        let mut tale = Tale::all_is_well();
        let user = tale.users[BEN];
        let stays = tale.truth.stays.get_mut(&tale.chat).expect("the chat");
        stays[BEN].before = Some(12);
        stays.push(Stay {
            user,
            after: 12,
            before: None,
        });
        tale
    };
    assert_eq!(removed().breaches(), [Breach::Leaked]);
    let tale = removed();
    let told = tale.is_told(BEN, 1);
    assert_eq!(tale.without(told).findings(), []);

    // Back again, they may be told what they missed, but not on a connection that was open while they were out.
    let mut tale = removed();
    let told = tale.is_told(BEN, 1);
    tale = tale.without(told);
    tale.resumes = false;
    let (chat, user) = (tale.chat, tale.users[BEN]);
    tale.then(ALICE, What::Readmits { chat, user });
    let mut late = tale.clone();
    late.closes(BEN, 1).opens(BEN, 3).tells(BEN, 3, 1);
    assert_eq!(late.findings(), []);
    tale.tells(BEN, 1, 1);
    assert!(tale.breaches().contains(&Breach::Leaked));
}

#[test]
fn what_the_history_does_not_know_is_a_phantom() {
    let mut tale = Tale::all_is_well();
    let chat = tale.chat;
    tale.then(
        BEN,
        What::Told {
            connection: 1,
            chat,
            message: Uuid::new_v4(),
            seq: 14,
        },
    );
    assert_eq!(tale.breaches(), [Breach::Phantom]);
}

#[test]
fn no_is_no() {
    let mut tale = Tale::all_is_well();
    tale.then(
        ALICE,
        What::Refused {
            key: key(0),
            why: "FORBIDDEN".to_owned(),
        },
    );
    assert_eq!(tale.breaches(), [Breach::Denied]);
}

#[test]
fn delays_count_for_those_who_were_there() {
    let mut tale = Tale::new();
    tale.opens(ALICE, 0).sends(0).answers(0).opens(BEN, 1);
    tale.tells(ALICE, 0, 0).tells(BEN, 1, 0).tells(ALICE, 0, 0);
    let delays = delays(&tale.entries);
    assert_eq!(delays.len(), 1);
    assert_eq!(delays[0].took, Duration::from_millis(2));
}

#[test]
fn the_next_page_knows_what_is_open() {
    let ledger = Ledger::default();
    let open = |connection| What::Opened {
        connection,
        to: "somewhere".to_owned(),
    };
    ledger.note(ALICE, open(0));
    ledger.note(BEN, open(1));
    ledger.note(
        BEN,
        What::Closed {
            connection: 1,
            why: "cut".to_owned(),
        },
    );
    ledger.turn_the_page();
    let left = ledger.history();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].client, &left[0].what), (ALICE, &open(0)));
}

#[test]
fn a_story_holds_what_concerns_it() {
    let mut tale = Tale::all_is_well();
    tale.tells(BEN, 1, 2);
    let findings = tale.findings();
    let story = story(&tale.entries, &findings[0]);
    // Sent, answered, told to Alice, told to Ben twice, and Ben's connection.
    assert_eq!(story.len(), 6);
}
