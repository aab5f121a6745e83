//! Something that comes once, and that nearly every task waits for beside its work.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use tokio_util::sync::CancellationToken;

/// A token that is not asked at every step of every task. Asking takes two locks, which all processors would pass from one to the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Moment {
    token: CancellationToken,
    /// Set a little before the token wakes those who wait.
    is_near: Arc<AtomicBool>,
}

impl Moment {
    pub fn come(&self) {
        self.is_near.store(true, Ordering::SeqCst);
        self.token.cancel();
    }

    pub fn has_come(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when it has come. Has to stay in the task that began to wait: the token is told only once whom to wake.
    pub async fn comes(&self) {
        let mut token = pin!(self.token.cancelled());
        let mut waits = false;
        poll_fn(|cx| {
            if waits && !self.is_near.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
            waits = true;
            token.as_mut().poll(cx)
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{task::JoinSet, time::timeout};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whoever_waits_is_woken() {
        for number in 0..200 {
            let moment = Moment::default();
            let mut waiting = JoinSet::new();
            for _ in 0..20 {
                let moment = moment.clone();
                waiting.spawn(async move {
                    let mut ticks = tokio::time::interval(Duration::from_micros(100));
                    let mut comes = pin!(moment.comes());
                    loop {
                        tokio::select! {
                            () = &mut comes => return,
                            _ = ticks.tick(), if number % 2 == 0 => {}
                        }
                    }
                });
            }
            tokio::time::sleep(Duration::from_micros(number * 10)).await;
            assert!(!moment.has_come());
            moment.come();
            timeout(Duration::from_secs(20), waiting.join_all())
                .await
                .unwrap();
            moment.comes().await;
        }
    }
}
