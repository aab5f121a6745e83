//! Reading the history over REST: what the existing client does whenever it opens a chat.

use std::time::Duration;

use anyhow::Result;
use rand::Rng as _;
use tokio::time::timeout;
use uuid::Uuid;

use super::life::Life;
use crate::{client::Rest, crowd::ledger::What};

/// How long a page may take.
const PAGE: Duration = Duration::from_secs(4);

impl Life {
    /// Read what the history has behind what was read before. What cannot be read now is tried again.
    pub(super) async fn read_history(&mut self) {
        let mut chats: Vec<Uuid> = self.to_read.iter().copied().collect();
        chats.sort_unstable();
        for chat in chats {
            let door = self.doors[self.rng.random_range(0..self.doors.len())].clone();
            match self.read_chat(chat, &door).await {
                Ok(()) => {
                    self.to_read.remove(&chat);
                }
                Err(_) => return,
            }
        }
    }

    async fn read_chat(&mut self, chat: Uuid, door: &Rest) -> Result<()> {
        let read_up_to = self.read_up_to.get(&chat).copied().unwrap_or_default();
        let (mut cursor, mut newest) = (String::new(), None);
        loop {
            let path = format!("/api/chats/{chat}/messages?limit=50{cursor}");
            let page = timeout(PAGE, door.get(&path)).await??;
            if matches!(page.status, 403 | 404) {
                // Not one of ours any more.
                self.chats.remove(&chat);
                self.positions.remove(&chat);
                return Ok(());
            }
            let page = page.expect(200)?;
            let messages = page["data"].as_array().cloned().unwrap_or_default();
            for message in &messages {
                let id = message["id"].as_str().and_then(|id| id.parse().ok());
                if let (Some(message), Some(seq)) = (id, message["seq"].as_i64()) {
                    self.note(What::Read { chat, message, seq });
                    newest = newest.max(Some(seq));
                }
            }
            let oldest = messages.first().and_then(|oldest| oldest["seq"].as_i64());
            match page["nextCursor"].as_str() {
                Some(next) if oldest.is_some_and(|oldest| oldest > read_up_to) => {
                    cursor = format!("&cursor={next}");
                }
                _ => break,
            }
        }
        if let Some(newest) = newest {
            self.read_up_to.insert(chat, newest.max(read_up_to));
            self.reach(chat, newest);
        }
        Ok(())
    }
}
