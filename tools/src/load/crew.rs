//! The processes that load the servers, as who gives the orders sees them.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
};

use super::{
    share::Share,
    tally::Going,
    worker::{Ended, Order, Played, Told},
};

/// The verb by which the program becomes one of them.
pub const WORK: &str = "work";

pub struct Crew {
    workers: Vec<Worker>,
    /// What each said last of how it goes.
    news: Arc<Mutex<Vec<Going>>>,
    /// Everything else that they say; nothing more from somebody who ended.
    told: mpsc::UnboundedReceiver<Option<Told>>,
}

struct Worker {
    orders: ChildStdin,
    /// It ends with us.
    _process: Child,
}

impl Crew {
    /// A process for each share. They begin to connect at once.
    pub async fn of(shares: &[Share]) -> Result<Self> {
        let (sender, told) = mpsc::unbounded_channel();
        let news = Arc::new(Mutex::new(vec![Going::default(); shares.len()]));
        let mut crew = Self {
            workers: Vec::new(),
            news,
            told,
        };
        for (number, share) in shares.iter().enumerate() {
            let mut process = Command::new(std::env::current_exe()?)
                .arg(WORK)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("cannot start another load process")?;
            let orders = process.stdin.take().context("no way to give orders")?;
            let answers = process.stdout.take().context("no way to hear answers")?;
            super::spawn(hear(number, answers, crew.news.clone(), sender.clone()));
            let mut worker = Worker {
                orders,
                _process: process,
            };
            worker.order(share).await?;
            crew.workers.push(worker);
        }
        Ok(crew)
    }

    /// Until everybody is connected.
    pub async fn ready(&mut self) -> Result<()> {
        let ready = self.all(|told| matches!(told, Told::Ready).then_some(()));
        ready.await.map(drop)
    }

    pub async fn play(&mut self, order: &Order) -> Result<()> {
        for worker in &mut self.workers {
            worker.order(order).await?;
        }
        Ok(())
    }

    /// What came of the phase, over all processes.
    pub async fn played(&mut self) -> Result<Played> {
        let played = self.all(|told| match told {
            Told::Played(played) => Some(played),
            _ => None,
        });
        let mut sum = Played::default();
        played.await?.iter().for_each(|played| sum.add(played));
        Ok(sum)
    }

    pub async fn end(&mut self) -> Result<Ended> {
        self.play(&Order::End).await?;
        let ended = self.all(|told| match told {
            Told::Ended(ended) => Some(ended),
            _ => None,
        });
        let mut sum = Ended::default();
        ended.await?.iter().for_each(|ended| sum.add(ended));
        Ok(sum)
    }

    /// How it goes at this moment, for who watches.
    pub fn news(&self) -> impl Fn() -> Going + Send + use<> {
        let news = self.news.clone();
        move || {
            let mut sum = Going::default();
            let news = news.lock().unwrap_or_else(PoisonError::into_inner);
            news.iter().for_each(|going| sum.add(going));
            sum
        }
    }

    /// The same kind of answer from each.
    async fn all<T>(&mut self, answer: fn(Told) -> Option<T>) -> Result<Vec<T>> {
        let mut answers = Vec::with_capacity(self.workers.len());
        while answers.len() < self.workers.len() {
            match self.told.recv().await {
                Some(Some(told)) => answers.push(answer(told).context("a load process is out of step")?),
                _ => bail!("a load process ended early: what it says is above"),
            }
        }
        Ok(answers)
    }
}

impl Worker {
    async fn order(&mut self, order: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let written = self.orders.write_all(&line).await;
        written.context("a load process takes no orders")
    }
}

async fn hear(
    number: usize,
    answers: ChildStdout,
    news: Arc<Mutex<Vec<Going>>>,
    told: mpsc::UnboundedSender<Option<Told>>,
) {
    let mut lines = BufReader::new(answers).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Told::Going(going)) => news.lock().unwrap_or_else(PoisonError::into_inner)[number] = going,
            Ok(other) => drop(told.send(Some(other))),
            Err(error) => eprintln!("a load process says what nobody understands: {error}"),
        }
    }
    let _ = told.send(None);
}
