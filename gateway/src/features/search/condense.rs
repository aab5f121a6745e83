//! Condense a chat's messages into segments, which searches leaf through faster than through messages.

use std::time::Duration;

use shared::ChatId;
use tokio::time::{Instant, sleep};

use super::{rules, store};
use crate::{db::Tx, error::Result, features::Backend};

/// Chats that are looked at in a turn at most, and how long a turn lasts: chores may not take much longer.
const CHATS: usize = 500;
const TURN: Duration = Duration::from_secs(60);
/// So many messages are condensed in a step. Edits in their chat wait for it: a few milliseconds.
const MESSAGES: usize = 500;
/// While messages wait to be written here, condensing takes one part in so many of the time: both need the same processors, and what is
/// not condensed yet is found all the same. As fast as possible it took a quarter of PostgreSQL's time from a replica at its limit.
/// (A replica on which nothing waits does not rest. Behind a balancer all are about as busy.)
const SHARE: u32 = 10;
/// A step that took very long says more of the database than of the work.
const REST: Duration = Duration::from_secs(2);

/// Do what is due.
pub async fn condense(backend: &Backend) -> Result<()> {
    let until = Instant::now() + TURN;
    for chat in store::due(&backend.db, CHATS).await? {
        loop {
            if Instant::now() > until {
                return Ok(());
            }
            let mut tx = backend.begin().await?;
            if !store::may_condense(&mut tx).await? {
                return Ok(());
            }
            let began = Instant::now();
            let is_done = condense_more(&mut tx, chat).await?;
            tx.commit().await?;
            if backend.sends.are_waiting() {
                sleep((began.elapsed() * (SHARE - 1)).min(REST)).await;
            }
            if is_done {
                break;
            }
        }
    }
    Ok(())
}

/// Make the segments anew in which something changed, or else make the next ones. Says whether that was all.
async fn condense_more(tx: &mut Tx, chat: ChatId) -> Result<bool> {
    // Whoever changes what a message says holds this, too, and looks for its segment: see the migration.
    store::hold_still(tx, chat).await?;
    if let Some(stale) = store::stale(tx, chat).await? {
        let lines = store::lines_of(tx, stale).await?;
        store::replace(tx, stale, &rules::segment(&lines)).await?;
        return Ok(false);
    }
    let lines = store::next_lines(tx, chat, MESSAGES).await?;
    let is_done = lines.len() < MESSAGES;
    for lines in rules::portions(&lines, is_done) {
        store::add(tx, chat, lines, &rules::segment(lines)).await?;
    }
    if is_done {
        store::not_due(tx, chat).await?;
    }
    Ok(is_done)
}
