//! What a client has missed: told before anything live, or again when it turns out that a connection broke.

use std::{collections::VecDeque, sync::Arc};

use shared::{ChatId, event::LineBroke};
use tracing::warn;

use super::{Ended, Writer};
use crate::{
    doors::{
        session::Past,
        socketio::{
            names,
            outlet::Item,
            own::{Opened, Resync, Why},
        },
    },
    error::Result,
    fanout::Delivery,
    features::sessions::open::{self, Stretch},
};

/// What may be put aside while something earlier is being told.
const ASIDE: usize = 8_192;

impl Writer {
    /// Say hello, and tell what was missed.
    pub(super) async fn catch_up(&mut self, past: Past, wants_positions: bool) -> Result<(), Ended> {
        let opened = Opened {
            user_id: self.caller.user,
            timestamp: self.door.live.backend.clock.now(),
            positions: wants_positions.then(|| past.heard.clone()),
        };
        self.pen.event(names::OPENED, &opened)?;
        self.tell_messages(&past.undelivered).await?;
        for stretch in &past.missed {
            self.resume(*stretch).await?;
            self.put_aside();
            if self.is_urgent {
                self.flush().await?;
            }
        }
        for chat in &past.unknown {
            self.ask_to_reload(*chat, Why::UnknownPosition)?;
        }
        self.flush().await?;
        self.told = past.heard.clone();
        self.opened_at = past.heard;
        for (chat, upto) in &self.told {
            self.door
                .live
                .backend
                .arrivals
                .note(*chat, self.caller.user, *upto);
        }
        Ok(())
    }

    /// Tell what others wrote in these stretches, page by page. What happens meanwhile waits.
    async fn tell_messages(&mut self, stretches: &[Stretch]) -> Result<(), Ended> {
        let mut page_end = None;
        while !stretches.is_empty() {
            let (messages, next) =
                open::undelivered(&self.door.live.backend, &self.caller, stretches, page_end).await?;
            for message in messages {
                let (chat, seq) = (message.chat_id, message.seq);
                self.pen.event("message:new", &message)?;
                self.arrived.push((chat, seq, seq));
            }
            self.put_aside();
            self.flush().await?;
            page_end = next;
            if page_end.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Make room for what happens while something earlier is being told. Pings do not wait for that.
    fn put_aside(&mut self) {
        if self.aside.len() < ASIDE {
            let mut items = VecDeque::new();
            self.mailbox.empty_into(&mut items);
            for item in items {
                match item {
                    Item::Frame(frame) => {
                        self.is_urgent = true;
                        self.pen.frame(&frame);
                    }
                    item => self.aside.push_back(item),
                }
            }
        }
    }

    /// A connection of the same person broke. If this one opened since then, it may be the same client, and what was said between the two
    /// nobody has told it.
    pub(super) async fn make_up_for(&mut self, delivery: &Delivery) -> Result<(), Ended> {
        if delivery
            .read()
            .is_none_or(|broke: LineBroke| broke.since > self.began)
        {
            return Ok(());
        }
        match self.tell_what_was_said_before().await {
            Err(Ended::Failed(error)) => {
                warn!(?error, "Cannot tell what a broken connection may have missed");
                Ok(())
            }
            told => told,
        }
    }

    async fn tell_what_was_said_before(&mut self) -> Result<(), Ended> {
        let mut stretches = Vec::new();
        for place in open::places(&self.door.live.backend, &self.caller, self.began).await? {
            if let Some(upto) = self.opened_at.get_mut(&place.chat)
                && place.has_upto < *upto
            {
                stretches.push(Stretch {
                    chat: place.chat,
                    after: place.has_upto,
                    upto: *upto,
                });
                // From here on it has been told that, too.
                *upto = place.has_upto;
            }
        }
        self.tell_messages(&stretches).await
    }

    /// Tell event by event what a client has missed since the place it named.
    async fn resume(&mut self, stretch: Stretch) -> Result<(), Ended> {
        let Some(missed) = open::missed(&self.door.live.backend, &self.caller, stretch).await? else {
            return Ok(self.ask_to_reload(stretch.chat, Why::TooFarBack)?);
        };
        for envelope in missed {
            let Some(delivery) = Delivery::new(Arc::new(envelope)) else {
                continue;
            };
            self.write_down(&delivery);
            if self.pen.is_full() {
                self.put_aside();
                self.flush().await?;
            }
        }
        Ok(())
    }

    fn ask_to_reload(&mut self, chat_id: ChatId, reason: Why) -> Result<()> {
        self.pen.event(names::RESYNC, &Resync { chat_id, reason })
    }
}
