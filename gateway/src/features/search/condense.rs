//! Condense a chat's messages into segments, which searches leaf through faster than through messages.

use std::time::Duration;

use shared::ChatId;
use tokio::time::{Instant, sleep};

use super::{rules, store};
use crate::{db::Tx, error::Result, features::Backend};

/// After so many steps other chores and a shutdown get their turn; the rest is done next time.
const STEPS: usize = 500;
/// So many messages are condensed in a step. Edits in their chat wait for it: a few milliseconds.
const MESSAGES: usize = 500;
/// While messages wait to be written, condensing takes one part in so many of the time: both need the same processors, and what is not
/// condensed yet is found all the same. As fast as possible it took a quarter of PostgreSQL's time from a replica at its limit.
const SHARE: u32 = 10;
/// A step that took long says more of the database than of the work.
const REST: Duration = Duration::from_millis(100);

/// Do what is due.
pub async fn condense(backend: &Backend) -> Result<()> {
    let due = store::due(&backend.db, STEPS).await?;
    let mut steps = 0;
    for chat in due {
        loop {
            if steps == STEPS {
                return Ok(());
            }
            steps += 1;
            let began = Instant::now();
            let mut tx = backend.begin().await?;
            if !store::may_condense(&mut tx).await? {
                return Ok(());
            }
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
