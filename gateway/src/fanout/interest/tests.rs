use std::sync::{Mutex, PoisonError};

use serde_json::json;
use shared::{ChatId, disconnect::Disconnect, event::Kind, samples};

use super::*;
use crate::fanout::Outlet;

/// An outlet that remembers what it was offered.
#[derive(Default)]
struct Notes(Mutex<Vec<Seq>>);

impl Outlet for Notes {
    fn offer(&self, delivery: &Arc<Delivery>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(delivery.seq());
    }

    fn close(&self, _: Disconnect) {}
}

impl Notes {
    fn seqs(&self) -> Vec<Seq> {
        self.0.lock().unwrap().clone()
    }
}

fn somebody(interest: &mut Interest, user: UserId) -> (ConnectionId, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    let id = ConnectionId::new();
    interest.arrive(Listener {
        id,
        user,
        outlet: notes.clone(),
    });
    (id, notes)
}

fn said(chat: ChatId, seq: Seq) -> Arc<Delivery> {
    Delivery::sample(Topic::Chat(chat), seq, Kind::MessageSent, None, "{}".to_owned())
}

fn left(chat: ChatId, seq: Seq, user: UserId) -> Arc<Delivery> {
    let body = json!({
        "chatId": chat, "userId": user, "removedBy": user, "timestamp": samples::noon(),
    });
    Delivery::sample(Topic::Chat(chat), seq, Kind::MemberLeft, None, body.to_string())
}

#[test]
fn whatever_the_order_of_arrival_each_event_is_told_once_and_in_order() {
    let (mut interest, chat) = (Interest::default(), ChatId::new());
    let topic = Topic::Chat(chat);
    let (id, notes) = somebody(&mut interest, samples::alice().id);
    assert!(interest.listen(id, topic), "the first one here");
    assert_eq!(interest.unplaced(&[topic]), [topic]);
    interest.accept(said(chat, 7));
    assert!(notes.seqs().is_empty(), "nobody knows yet what lies before");
    let outcome = interest.place(topic, 5);
    assert!(outcome.has_gap && interest.has_gap_still(topic));
    assert_eq!(interest.hears_after(id, topic), Some(5));
    interest.release(id, topic, &[], 5);
    for seq in [9, 6, 6, 5, 4, 8, 8, 7] {
        interest.accept(said(chat, seq));
    }
    assert_eq!(notes.seqs(), [6, 7, 8, 9]);
    assert!(!interest.has_gap_still(topic));
    assert_eq!(interest.told(), [(topic, 9)]);

    let (late, late_notes) = somebody(&mut interest, samples::bob().id);
    assert!(!interest.listen(late, topic), "others listen already");
    assert_eq!(interest.hears_after(late, topic), Some(9));
    interest.accept(said(chat, 10));
    assert!(
        late_notes.seqs().is_empty(),
        "nobody knows yet whether they may hear it"
    );
    interest.release(late, topic, &[], 9);
    assert_eq!(late_notes.seqs(), [10]);
    assert!(interest.depart(id).is_empty());
    assert_eq!(interest.depart(late), [topic], "the last one");
}

#[test]
fn who_is_removed_hears_nothing_more_even_if_all_comes_at_once() {
    let (mut interest, chat) = (Interest::default(), ChatId::new());
    let (topic, bob) = (Topic::Chat(chat), samples::bob().id);
    let (stays, stays_notes) = somebody(&mut interest, samples::alice().id);
    let (goes, goes_notes) = somebody(&mut interest, bob);
    for id in [stays, goes] {
        interest.listen(id, topic);
    }
    interest.place(topic, 0);
    for id in [stays, goes] {
        interest.release(id, topic, &[], 0);
    }
    // The removal and what follows it wait for what is missing, and are told in one go.
    interest.accept(left(chat, 2, bob));
    interest.accept(said(chat, 3));
    let outcome = interest.accept(said(chat, 1));
    assert_eq!(outcome.changes, [Change::Leaves { user: bob, chat }]);
    assert_eq!(stays_notes.seqs(), [1, 2, 3]);
    assert_eq!(goes_notes.seqs(), [1]);
}

#[test]
fn who_was_removed_while_they_came_in_hears_nothing_of_what_came_since() {
    let (mut interest, chat) = (Interest::default(), ChatId::new());
    let topic = Topic::Chat(chat);
    let (id, notes) = somebody(&mut interest, samples::bob().id);
    interest.listen(id, topic);
    interest.place(topic, 3);
    interest.accept(said(chat, 4));
    interest.leave(id, topic);
    interest.release(id, topic, &[], 3);
    assert!(notes.seqs().is_empty());
}

#[test]
fn one_looks_for_what_is_missing_as_long_as_anything_is() {
    let (mut interest, chat) = (Interest::default(), ChatId::new());
    let topic = Topic::Chat(chat);
    let (id, _) = somebody(&mut interest, samples::alice().id);
    interest.listen(id, topic);
    interest.place(topic, 0);
    assert!(interest.accept(said(chat, 2)).has_gap);
    assert!(!interest.accept(said(chat, 3)).has_gap, "somebody looks already");
    interest.accept(said(chat, 1));
    interest.accept(said(chat, 5));
    assert!(
        interest.has_gap_still(topic),
        "another one, for the same one who looks"
    );
    interest.accept(said(chat, 4));
    assert!(!interest.has_gap_still(topic));
    assert!(
        interest.accept(said(chat, 7)).has_gap,
        "and from then on another looks"
    );
}

#[test]
fn who_joins_late_is_told_what_came_since_and_only_then_what_comes() {
    let (mut interest, chat) = (Interest::default(), ChatId::new());
    let topic = Topic::Chat(chat);
    let (first, _) = somebody(&mut interest, samples::alice().id);
    interest.listen(first, topic);
    interest.place(topic, 6);
    let (late, notes) = somebody(&mut interest, samples::bob().id);
    let joined = interest.join(late, topic, 4);
    assert_eq!((joined.is_new, joined.is_behind), (false, true));
    interest.accept(said(chat, 7));
    assert!(notes.seqs().is_empty(), "it waits for 5 and 6");
    // The log has 8 already, which nobody here has been told.
    let read = [5, 6, 7, 8].map(|seq| said(chat, seq));
    interest.release(late, topic, &read, 7);
    interest.accept(said(chat, 8));
    assert_eq!(notes.seqs(), [5, 6, 7, 8]);

    // Ahead of what was told here: not a word of what lies before.
    let (ahead, notes) = somebody(&mut interest, samples::bob().id);
    assert!(!interest.join(ahead, topic, 10).is_behind);
    for seq in 9..=11 {
        interest.accept(said(chat, seq));
    }
    assert_eq!(notes.seqs(), [11]);
}
