//! What waits to be written to one socket, and wakes whoever writes it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::outlet::Item;

/// Events and answers that may wait for a socket. Whoever has more than this to read is too slow.
const ROOM: usize = 512;

/// Takes hardly any room while it is empty: of a chat's sockets nearly all are silent.
#[derive(Default)]
pub struct Mailbox {
    inside: Mutex<Inside>,
    reader: AtomicWaker,
    has_room: Notify,
}

#[derive(Default)]
struct Inside {
    items: VecDeque<Item>,
    /// Among them is something that somebody waits for, or they get many.
    is_urgent: bool,
    /// The reader is to be woken only by that.
    gathers: bool,
}

impl Mailbox {
    /// Says no, if there is no room.
    pub fn put(&self, item: Item) -> bool {
        self.offer(item).is_ok()
    }

    /// Put it in as soon as there is room.
    pub async fn put_soon(&self, mut item: Item) {
        loop {
            let has_room = self.has_room.notified();
            match self.offer(item) {
                Ok(()) => return,
                Err(refused) => item = refused,
            }
            has_room.await;
        }
    }

    fn offer(&self, item: Item) -> Result<(), Item> {
        let mut inside = self.inside();
        if inside.items.len() >= ROOM {
            return Err(item);
        }
        let is_told = matches!(item, Item::Told(_));
        inside.items.push_back(item);
        let is_urgent = !is_told || inside.items.len() == ROOM / 2;
        let is_first = inside.items.len() == 1 && !inside.gathers;
        inside.is_urgent |= is_urgent;
        drop(inside);
        if is_first || is_urgent {
            self.reader.wake();
        }
        Ok(())
    }

    /// Is there something that happened, or the answer to something?
    pub fn has_news(&self) -> bool {
        let inside = self.inside();
        inside.items.iter().any(|item| !matches!(item, Item::Frame(_)))
    }

    /// Resolves when there is something. There is one reader.
    pub async fn has_some(&self) {
        self.until(false, |inside| !inside.items.is_empty()).await;
    }

    /// Resolves when there is something that somebody waits for.
    pub async fn is_urgent(&self) {
        self.until(true, |inside| inside.is_urgent).await;
    }

    async fn until(&self, gathers: bool, is_here: impl Fn(&Inside) -> bool) {
        poll_fn(|cx| {
            self.reader.register(cx.waker());
            let mut inside = self.inside();
            inside.gathers = gathers;
            if is_here(&inside) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Take all that there is.
    pub fn empty_into(&self, elsewhere: &mut VecDeque<Item>) {
        let was_full = {
            let mut inside = self.inside();
            let was_full = inside.items.len() >= ROOM;
            inside.is_urgent = false;
            if elsewhere.is_empty() {
                std::mem::swap(&mut inside.items, elsewhere);
            } else {
                elsewhere.append(&mut inside.items);
            }
            was_full
        };
        if was_full {
            self.has_room.notify_one();
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use shared::{UserId, event::Kind, topic::Topic};
    use tokio::time::timeout;

    use super::*;
    use crate::fanout::Delivery;

    fn item() -> Item {
        Item::Frame(Box::default())
    }

    #[tokio::test]
    async fn who_gathers_is_woken_by_what_is_urgent() {
        let mailbox = Mailbox::default();
        let told = Delivery::sample(
            Topic::User(UserId::new()),
            1,
            Kind::MessagesRead,
            None,
            "[]".to_owned(),
        );
        let (mut taken, brief) = (VecDeque::new(), Duration::from_millis(10));
        assert!(mailbox.put(Item::Told(told)));
        assert!(timeout(brief, mailbox.is_urgent()).await.is_err());
        assert!(mailbox.put(item()));
        mailbox.is_urgent().await;
        mailbox.empty_into(&mut taken);
        assert!(timeout(brief, mailbox.is_urgent()).await.is_err(), "it is taken");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nobody_sleeps_through_it() {
        const EACH: usize = 20_000;
        let mailbox = Arc::new(Mailbox::default());
        let putting = (0..2).map(|_| {
            let mailbox = mailbox.clone();
            std::thread::spawn(move || {
                for number in 0..EACH {
                    let told = Delivery::sample(
                        Topic::User(UserId::new()),
                        1,
                        Kind::MessagesRead,
                        None,
                        "[]".to_owned(),
                    );
                    while !mailbox.put(Item::Told(told.clone())) {
                        std::thread::yield_now();
                    }
                    if number % 7 == 0 {
                        std::thread::sleep(Duration::from_micros(20));
                    }
                }
            })
        });
        let putting: Vec<_> = putting.collect();
        let reading = async {
            let mut taken = VecDeque::new();
            let mut count = 0;
            while count < 2 * EACH {
                mailbox.has_some().await;
                if count % 3 == 0 {
                    let _ = timeout(Duration::from_millis(1), mailbox.is_urgent()).await;
                }
                mailbox.empty_into(&mut taken);
                count += taken.len();
                taken.clear();
            }
        };
        timeout(Duration::from_secs(60), reading).await.unwrap();
        for putting in putting {
            putting.join().unwrap();
        }
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let mailbox = Arc::new(Mailbox::default());
        let mut taken = VecDeque::new();
        assert!(
            timeout(Duration::from_millis(10), mailbox.has_some())
                .await
                .is_err()
        );
        tokio::join!(mailbox.has_some(), async {
            tokio::task::yield_now().await;
            assert!(mailbox.put(item()));
        });
        for _ in 1..ROOM {
            assert!(mailbox.put(item()));
        }
        assert!(!mailbox.put(item()), "full");
        let soon = timeout(Duration::from_secs(5), mailbox.put_soon(item()));
        let (put, ()) = tokio::join!(soon, async {
            tokio::task::yield_now().await;
            mailbox.empty_into(&mut taken);
        });
        put.unwrap();
        mailbox.empty_into(&mut taken);
        assert_eq!(taken.len(), ROOM + 1);
        mailbox.empty_into(&mut taken);
        assert_eq!(taken.len(), ROOM + 1, "nothing is left");
    }
}
