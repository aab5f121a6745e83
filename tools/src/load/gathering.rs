//! The people of one process, and their live connections.

use std::{
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
    share::{self, Share},
    tally::{Going, Second, Tally, What},
    verdict::{self, Heard, Verdict},
};

/// How many connect at the same time, over all processes.
const AT_ONCE: usize = 64;
/// Over how long those come back who were dropped.
const RETURN: Duration = Duration::from_secs(10);

pub struct Gathering {
    pub began: Instant,
    pub tally: Tally,
    share: Share,
    chats: Vec<Chat>,
    sockets: Vec<Socket>,
    /// In a closed loop: whoever is answered sends the next.
    goes_on: AtomicBool,
    /// Whose turn that is.
    turn: AtomicUsize,
    connected: AtomicUsize,
    pub returned: AtomicU64,
    /// Connections that ended though nobody dropped them.
    pub broken: AtomicU64,
    /// How often somebody could not come back, and tried again.
    turned_away: AtomicU64,
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
    at: share::Socket,
    stream: Mutex<Option<Arc<TcpStream>>>,
    /// What is written must not mingle.
    writing: tokio::sync::Mutex<()>,
    drop_it: Notify,
    heard: Mutex<Heard>,
}

impl Gathering {
    pub fn of(share: Share) -> Arc<Self> {
        let sockets = share.sockets.iter().map(|socket| Socket {
            at: socket.clone(),
            stream: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            drop_it: Notify::new(),
            heard: Mutex::default(),
        });
        let chats = share.chats.iter().map(|chat| {
            let mut speakers = chat.sockets.clone();
            speakers.retain(|socket| share.sockets[*socket].stays);
            if speakers.is_empty() {
                speakers.clone_from(&chat.sockets);
            }
            Chat {
                id: chat.id,
                sockets: chat.sockets.clone(),
                speakers,
                next: AtomicU32::new(0),
            }
        });
        Arc::new(Self {
            began: share.began.instant(),
            tally: Tally::default(),
            chats: chats.collect(),
            sockets: sockets.collect(),
            goes_on: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
            connected: AtomicUsize::new(0),
            returned: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            run: Uuid::new_v4().simple().to_string()[..8].to_owned(),
            share,
        })
    }

    /// Let everybody connect.
    pub async fn connect(self: &Arc<Self>) -> Result<()> {
        let mut opening = stream::iter(0..self.sockets.len())
            .map(async |number| Ok::<_, anyhow::Error>((number, self.sockets[number].open().await?)))
            .buffer_unordered((AT_ONCE / self.share.parts).max(1));
        while let Some((number, (stream, inflow))) = opening.try_next().await? {
            self.connected.fetch_add(1, Ordering::Relaxed);
            // It ends with the run.
            super::spawn(self.clone().live(number, stream, inflow));
        }
        Ok(())
    }

    pub fn is_complete(&self) -> bool {
        self.connected.load(Ordering::Relaxed) == self.sockets.len()
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
                // One says why; many would bury it.
                if self.broken.fetch_add(1, Ordering::Relaxed) == 0 {
                    eprintln!("a connection broke: {error}");
                }
            }
            let wait = rand::rng().random_range(Duration::ZERO..RETURN);
            tokio::time::sleep(wait).await;
            loop {
                match self.sockets[number].open().await {
                    Ok(opened) => break (stream, inflow) = opened,
                    Err(error) => {
                        if self.turned_away.fetch_add(1, Ordering::Relaxed) == 0 {
                            eprintln!("somebody cannot come back yet: {error:#}");
                        }
                    }
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
                self.send_next(answered).await;
            }
            if !inflow.read(stream).await? {
                anyhow::bail!("the server closed it");
            }
        }
    }

    fn arrived(&self, number: usize, text: &[u8]) {
        let Some(mark) = Mark::find(text) else { return };
        let took = self.micros().saturating_sub(mark.due);
        if self.sockets[number].at.stays {
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
                let members = self.chats.get(mark.chat).map_or(0, |chat| chat.sockets.len());
                self.tally.expected.fetch_add(members as u64, Ordering::Relaxed);
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

    /// Whether this process has that turn.
    pub fn has(&self, turn: usize) -> bool {
        self.share.chat_of(turn).is_some()
    }

    /// Send the message of a turn: the chats in turn, and in each its members. Nothing happens if another process has it.
    pub async fn send(&self, turn: usize, due: u64) {
        let Some(number) = self.share.chat_of(turn) else {
            return;
        };
        let chat = &self.chats[number];
        let sender = &self.sockets[chat.speakers[turn / self.share.all_chats % chat.speakers.len()]];
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

    /// In a closed loop: our next so many messages, now.
    async fn send_next(&self, messages: usize) {
        for _ in 0..messages {
            let next = self.turn.fetch_add(1, Ordering::Relaxed);
            let (chat, round) = (next % self.chats.len(), next / self.chats.len());
            let turn = round * self.share.all_chats + chat * self.share.parts + self.share.part;
            self.send(turn, self.micros()).await;
        }
    }

    /// From now on, so many are under way: whoever is answered sends the next.
    pub async fn saturate(&self, under_way: usize) {
        let (unanswered, _) = self.tally.outstanding();
        self.goes_on.store(true, Ordering::Relaxed);
        let more = self.share.of(under_way).saturating_sub(unanswered as usize);
        self.send_next(more).await;
    }

    pub fn fall_silent(&self) {
        self.goes_on.store(false, Ordering::Relaxed);
    }

    /// Drop all at once that do not stay. They come back by themselves.
    pub fn drop_some(&self) {
        for socket in self.sockets.iter().filter(|socket| !socket.at.stays) {
            socket.drop_it.notify_one();
        }
    }

    /// How it goes at this moment, for who watches.
    pub fn going(&self) -> Going {
        let second = self.began.elapsed().as_secs() as usize;
        let mut last = Second::default();
        let seconds = self.tally.seconds(second.saturating_sub(2), second);
        seconds.iter().for_each(|second| last.add(second));
        Going {
            connected: self.connected.load(Ordering::Relaxed),
            counts: self.tally.counts(),
            last,
        }
    }

    pub fn verdict(&self) -> Verdict {
        let heard: Vec<Heard> = self.sockets.iter().map(|socket| socket.heard().clone()).collect();
        let connections: Vec<_> = self.chats.iter().map(|chat| chat.sockets.clone()).collect();
        verdict::judge(&heard, &connections)
    }
}

impl Socket {
    async fn open(&self) -> Result<(Arc<TcpStream>, Inflow)> {
        let (stream, inflow) = line::open(self.at.address, &self.at.token).await?;
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
