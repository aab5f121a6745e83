//! The people of a run, and their live connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rand::Rng as _;
use tokio::{net::TcpStream, sync::Notify};
use uuid::Uuid;

use super::{
    line::{self, Inflow},
    mark::Mark,
    options::Options,
    tally::{Tally, What},
    verdict::{self, Heard, Verdict},
};
use crate::crowd::Population;

/// How many connect at the same time.
const AT_ONCE: usize = 64;
/// Over how long those come back who were dropped.
const RETURN: Duration = Duration::from_secs(10);

pub struct Gathering {
    pub began: Instant,
    pub tally: Tally,
    chats: Vec<Chat>,
    sockets: Vec<Socket>,
    /// How many messages have been asked for, over all chats.
    asked: AtomicUsize,
    /// In a closed loop: whoever is answered sends the next.
    goes_on: AtomicBool,
    pub connected: AtomicUsize,
    pub returned: AtomicU64,
    run: String,
}

struct Chat {
    id: Uuid,
    /// Connections of its members.
    sockets: Vec<usize>,
    /// Those of them that say something: whoever stays.
    speakers: Vec<usize>,
    next: AtomicU32,
}

struct Socket {
    address: SocketAddr,
    token: String,
    stream: Mutex<Option<Arc<TcpStream>>>,
    /// What is written must not mingle.
    writing: tokio::sync::Mutex<()>,
    drop_it: Notify,
    /// It stays while others drop, so what it hears tells how much they disturb.
    stays: bool,
    heard: Mutex<Heard>,
}

impl Gathering {
    /// All of these people, connected to the servers in turn.
    pub async fn of(
        population: &Population,
        addresses: &[SocketAddr],
        options: &Options,
        mut progress: impl FnMut(usize),
    ) -> Result<Arc<Self>> {
        let each = options.sockets_per_user;
        let all = population.people.len() * each;
        // Spread over everybody, so that in each chat some stay if any do.
        let before = |number: usize| number * options.storm.min(all) / all;
        let stays = |number: usize| before(number) == before(number + 1);
        let people = population.people.iter().enumerate();
        let sockets = people.flat_map(|(number, person)| {
            (0..each).map(move |device| Socket {
                address: addresses[(number + device) % addresses.len()],
                token: person.token.clone(),
                stream: Mutex::default(),
                writing: tokio::sync::Mutex::default(),
                drop_it: Notify::new(),
                stays: stays(number * each + device),
                heard: Mutex::default(),
            })
        });
        let chats = population.groups.iter().map(|group| {
            let members = group.members.iter();
            let sockets: Vec<usize> = members
                .flat_map(|member| member * each..(member + 1) * each)
                .collect();
            let mut speakers = sockets.clone();
            speakers.retain(|socket| stays(*socket));
            if speakers.is_empty() {
                speakers.clone_from(&sockets);
            }
            Chat {
                id: group.id,
                sockets,
                speakers,
                next: AtomicU32::new(0),
            }
        });
        let gathering = Arc::new(Self {
            began: Instant::now(),
            tally: Tally::default(),
            chats: chats.collect(),
            sockets: sockets.collect(),
            asked: AtomicUsize::new(0),
            goes_on: AtomicBool::new(false),
            connected: AtomicUsize::new(0),
            returned: AtomicU64::new(0),
            run: Uuid::new_v4().simple().to_string()[..8].to_owned(),
        });
        let mut opening = stream::iter(0..gathering.sockets.len())
            .map(|number| {
                let gathering = gathering.clone();
                async move { Ok::<_, anyhow::Error>((number, gathering.sockets[number].open().await?)) }
            })
            .buffer_unordered(AT_ONCE);
        while let Some((number, (stream, inflow))) = opening.try_next().await? {
            progress(gathering.connected.fetch_add(1, Ordering::Relaxed) + 1);
            // It ends with the run.
            super::spawn(gathering.clone().live(number, stream, inflow));
        }
        drop(opening);
        Ok(gathering)
    }

    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    pub fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Hear what one connection is told, until there is nothing more to come.
    async fn live(self: Arc<Self>, number: usize, mut stream: Arc<TcpStream>, mut inflow: Inflow) {
        loop {
            let ended = tokio::select! {
                ended = self.hear(number, &stream, &mut inflow) => ended,
                () = self.sockets[number].drop_it.notified() => Ok(()),
            };
            self.sockets[number].close();
            self.connected.fetch_sub(1, Ordering::Relaxed);
            drop(stream);
            if let Err(error) = ended {
                eprintln!("a connection broke: {error}");
            }
            let wait = rand::rng().random_range(Duration::ZERO..RETURN);
            tokio::time::sleep(wait).await;
            loop {
                match self.sockets[number].open().await {
                    Ok(opened) => break (stream, inflow) = opened,
                    Err(error) => eprintln!("somebody cannot come back: {error:#}"),
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            self.connected.fetch_add(1, Ordering::Relaxed);
            self.returned.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn hear(self: &Arc<Self>, number: usize, stream: &TcpStream, inflow: &mut Inflow) -> Result<()> {
        loop {
            let mut answered = 0;
            while let Some(text) = inflow.next() {
                match text {
                    [b'2'] => self.sockets[number].write(b"3").await?,
                    [b'4', b'2', ..] if text.starts_with(b"42[\"message:new\"") => self.arrived(number, text),
                    [b'4', b'3', ..] => {
                        answered += 1;
                        self.acknowledged(number, text);
                    }
                    _ => {}
                }
            }
            if self.goes_on.load(Ordering::Relaxed) {
                for _ in 0..answered {
                    self.send(self.micros()).await;
                }
            }
            if !inflow.read(stream).await? {
                anyhow::bail!("the server closed it");
            }
        }
    }

    fn arrived(&self, number: usize, text: &[u8]) {
        let Some(mark) = Mark::find(text) else { return };
        let took = self.micros().saturating_sub(mark.due);
        if self.sockets[number].stays {
            self.tally.note(What::Delivery, number, mark.due, took);
        } else {
            self.tally.delivered.fetch_add(1, Ordering::Relaxed);
        }
        let mut heard = self.sockets[number].heard();
        heard.arrived.entry(mark.chat).or_default().push(mark.number);
    }

    fn acknowledged(&self, number: usize, text: &[u8]) {
        match Mark::find(text) {
            Some(mark) => {
                let took = self.micros().saturating_sub(mark.due);
                self.tally.note(What::Ack, number, mark.due, took);
                self.sockets[number]
                    .heard()
                    .acknowledged
                    .push((mark.chat, mark.number));
            }
            None => {
                self.tally.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Send the next message: the chats in turn, and in each its members.
    pub async fn send(&self, due: u64) {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        let number = turn % self.chats.len();
        let chat = &self.chats[number];
        let sender = &self.sockets[chat.speakers[turn / self.chats.len() % chat.speakers.len()]];
        let mark = Mark {
            chat: number,
            number: chat.next.fetch_add(1, Ordering::Relaxed),
            due,
        };
        let (id, run, key, content) = (chat.id, &self.run, mark.number, mark.content());
        let text = format!(
            "420[\"message:send\",{{\"chatId\":\"{id}\",\"content\":\"{content}\",\"clientMessageId\":\"{run}-{number}-{key}\"}}]"
        );
        self.tally.sent.fetch_add(1, Ordering::Relaxed);
        if sender.write(text.as_bytes()).await.is_err() {
            self.tally.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// From now on, whoever is answered sends the next; or not any more.
    pub fn go_on(&self, on: bool) {
        self.goes_on.store(on, Ordering::Relaxed);
    }

    /// Drop all at once that do not stay. They come back by themselves.
    pub fn drop_some(&self) {
        for socket in self.sockets.iter().filter(|socket| !socket.stays) {
            socket.drop_it.notify_one();
        }
    }

    /// What is still to come of what was acknowledged.
    pub fn outstanding(&self) -> (u64, u64) {
        let tally = &self.tally;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let unanswered =
            count(&tally.sent).saturating_sub(count(&tally.acknowledged) + count(&tally.refused));
        let size = self.chats.first().map_or(0, |chat| chat.sockets.len()) as u64;
        let undelivered = (count(&tally.acknowledged) * size).saturating_sub(count(&tally.delivered));
        (unanswered, undelivered)
    }

    pub fn verdict(&self) -> Verdict {
        let heard: Vec<Heard> = self.sockets.iter().map(|socket| socket.heard().clone()).collect();
        let connections: Vec<_> = self.chats.iter().map(|chat| chat.sockets.clone()).collect();
        verdict::judge(&heard, &connections)
    }
}

impl Socket {
    async fn open(&self) -> Result<(Arc<TcpStream>, Inflow)> {
        let (stream, inflow) = line::open(self.address, &self.token).await?;
        let stream = Arc::new(stream);
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream.clone());
        Ok((stream, inflow))
    }

    fn close(&self) {
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn write(&self, text: &[u8]) -> Result<()> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(stream) = stream else {
            anyhow::bail!("not connected")
        };
        let _writing = self.writing.lock().await;
        line::write(&stream, &line::frame(text)).await?;
        Ok(())
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
