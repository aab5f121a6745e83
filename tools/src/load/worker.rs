//! One of the processes that load the servers. It is given its share, does what it is told, and says what came of it, a line of
//! JSON each; `crew` is at the other end.

use std::{
    io::{BufRead as _, Write as _},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::sleep};

use super::{
    gathering::Gathering,
    meter,
    options::Pace,
    share::Share,
    tally::{Counts, Going, Second},
    verdict::Verdict,
};

/// What was said last may take so long to arrive.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Whoever was dropped may take so long to come back.
const RETURN: Duration = Duration::from_secs(60);
/// How often it is told how it goes.
const NEWS: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// All processes begin in the same second, counted from the run's beginning.
    Play {
        at: u64,
        pace: Pace,
        duration: Duration,
        /// Drop those in it who do not stay.
        storm: bool,
    },
    End,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Told {
    Going(Going),
    /// Everybody is connected.
    Ready,
    Played(Played),
    Ended(Ended),
}

/// What came of one phase.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Played {
    /// What happened while it lasted.
    pub counts: Counts,
    /// Of what was sent, how much had no answer when nobody waited any longer.
    pub unanswered: u64,
    /// What came of the messages that were due in it, whenever that was.
    pub seconds: Vec<Second>,
    /// Seconds of a processor that this process took.
    pub measuring: f64,
}

/// What came of the whole run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ended {
    pub seconds: Vec<Second>,
    pub verdict: Verdict,
    pub returned: u64,
    pub broken: u64,
}

impl Played {
    pub fn add(&mut self, other: &Self) {
        self.counts.add(other.counts);
        self.unanswered += other.unanswered;
        Second::add_each(&mut self.seconds, &other.seconds);
        self.measuring += other.measuring;
    }
}

impl Ended {
    pub fn add(&mut self, other: &Self) {
        Second::add_each(&mut self.seconds, &other.seconds);
        self.verdict.add(other.verdict);
        self.returned += other.returned;
        self.broken += other.broken;
    }
}

pub async fn work() -> Result<()> {
    let mut lines = lines();
    let share = lines.recv().await.context("nobody says what to do")?;
    let gathering = Gathering::of(serde_json::from_str::<Share>(&share)?);
    let news = gathering.clone();
    super::spawn(async move {
        loop {
            sleep(NEWS).await;
            tell(&Told::Going(news.going()));
        }
    });
    gathering.connect().await?;
    tell(&Told::Ready);
    while let Some(line) = lines.recv().await {
        match serde_json::from_str(&line)? {
            Order::Play {
                at,
                pace,
                duration,
                storm,
            } => {
                let at = Duration::from_secs(at);
                tell(&Told::Played(play(&gathering, at, pace, duration, storm).await));
            }
            Order::End => tell(&Told::Ended(end(&gathering).await)),
        }
    }
    Ok(())
}

/// What we are told, line by line. Whoever gave the orders takes us along when they end.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    // A thread, because the runtime's own way of reading cannot be ended while it waits.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        std::process::exit(0);
    });
    receiver
}

fn tell(told: &Told) {
    let mut line = serde_json::to_vec(told).unwrap_or_default();
    line.push(b'\n');
    // If nobody listens any more, the end of the orders ends us.
    let _ = std::io::stdout().lock().write_all(&line);
}

async fn play(
    gathering: &Arc<Gathering>,
    at: Duration,
    pace: Pace,
    duration: Duration,
    storm: bool,
) -> Played {
    let begin = gathering.began + at;
    tokio::time::sleep_until(begin.into()).await;
    let (before, measuring) = (gathering.tally.counts(), meter::myself());
    if storm {
        let gathering = gathering.clone();
        super::spawn(async move {
            sleep(duration / 3).await;
            gathering.drop_some();
        });
    }
    let meanwhile = async {
        tokio::time::sleep_until((begin + duration).into()).await;
        (
            gathering.tally.counts().since(before),
            meter::myself() - measuring,
        )
    };
    let speaking = async {
        match pace {
            Pace::Silent => {}
            Pace::Open(rate) => keep_pace(gathering, at, rate, duration).await,
            Pace::Closed(under_way) => gathering.saturate(under_way).await,
        }
    };
    let ((counts, measuring), ()) = tokio::join!(meanwhile, speaking);
    if matches!(pace, Pace::Open(_)) {
        listen_to_the_end(gathering).await;
    }
    // Seconds of the tally are told apart by when their messages were due.
    let (from, to) = (at.as_secs_f64(), (at + duration).as_secs_f64());
    Played {
        counts,
        unanswered: gathering.tally.outstanding().0,
        seconds: gathering.tally.seconds(from as usize, to.ceil() as usize),
        measuring,
    }
}

/// Send when each message is due, whether or not the earlier ones were answered.
async fn keep_pace(gathering: &Gathering, at: Duration, rate: f64, duration: Duration) {
    let messages = (rate * duration.as_secs_f64()).round() as usize;
    for turn in (0..messages).filter(|turn| gathering.has(*turn)) {
        let due = at + Duration::from_secs_f64(turn as f64 / rate);
        // Also when we are late ourselves: then that counts as well.
        tokio::time::sleep_until((gathering.began + due).into()).await;
        gathering
            .send(turn, u64::try_from(due.as_micros()).unwrap_or(u64::MAX))
            .await;
    }
}

/// Until everybody is back, and nothing more comes.
async fn listen_to_the_end(gathering: &Gathering) {
    let mut started = Instant::now();
    while !gathering.is_complete() && started.elapsed() < RETURN {
        sleep(Duration::from_millis(20)).await;
    }
    started = Instant::now();
    while gathering.tally.outstanding() != (0, 0) && started.elapsed() < LAST_WORDS {
        sleep(Duration::from_millis(20)).await;
    }
}

async fn end(gathering: &Gathering) -> Ended {
    gathering.fall_silent();
    listen_to_the_end(gathering).await;
    let seconds = gathering.began.elapsed().as_secs() as usize + 1;
    Ended {
        seconds: gathering.tally.seconds(0, seconds),
        verdict: gathering.verdict(),
        returned: gathering.returned.load(Ordering::Relaxed),
        broken: gathering.broken.load(Ordering::Relaxed),
    }
}
