//! Find messages in the caller's chats.

use chrono::{DateTime, Utc};
use shared::{
    MessageId,
    search::{FindMessages, HitCursor, MessageFound, MessagesFound},
};

use super::{
    rules::{self, Question},
    store::{self, Hit, Scope, Stretch},
};
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Backend, Caller, chats, messages as said},
    limits::Limited,
};

/// Counting stops here: nobody wants to see more hits (contract FR-107).
const COUNTED_UP_TO: usize = 100;
/// So many of the newest segments of each chat are considered first; then more, and then all. What is common is found at once.
const NEWEST: [Option<i64>; 3] = [Some(16), Some(512), None];
/// So many of the stretches that may hold something are looked through first, and each step takes four times as many: what is rare
/// takes few steps.
const FIRST_STEP: usize = 16;

pub async fn messages(backend: &Backend, caller: &Caller, ask: FindMessages) -> Result<MessagesFound> {
    backend.limits.check(Limited::Search, caller.user).await?;
    let text = ask
        .q
        .or(ask.query)
        .ok_or_else(|| Error::invalid("q", "is required"))?;
    let literal = rules::folded(&text);
    if literal.trim().is_empty() {
        return Err(Error::invalid("q", "must contain something that can be seen"));
    }
    if let Some(chat) = ask.chat_id {
        let mut tx = backend.begin().await?;
        chats::member_place(&mut tx, caller.user, chat).await?;
    }
    let mut tx = backend.begin().await?;
    store::at_one_moment(&mut tx).await?;
    let stems = if rules::may_mean_words(&literal) {
        store::stems(&mut tx, &literal).await?
    } else {
        Vec::new()
    };
    let question = Question::new(literal.trim(), &stems);
    // One more than wanted tells whether there are more.
    let wanted = ask.limit.get() + 1;
    let scope = Scope {
        user: caller.user,
        chat: ask.chat_id,
        before: ask.cursor,
    };
    let mut hits = find(&mut tx, scope, &question, wanted.max(COUNTED_UP_TO)).await?;
    let mut total = hits.len().min(COUNTED_UP_TO);
    if ask.cursor.is_some() && total < COUNTED_UP_TO {
        let all = Scope {
            before: None,
            ..scope
        };
        total = find(&mut tx, all, &question, COUNTED_UP_TO).await?.len();
    }
    let has_more = hits.len() >= wanted;
    hits.truncate(ask.limit.get());
    let next_cursor = hits.last().filter(|_| has_more).map(|hit| {
        HitCursor {
            at: hit.at,
            id: Some(hit.id),
        }
        .to_string()
    });
    let ids: Vec<MessageId> = hits.iter().map(|hit| hit.id).collect();
    let found = said::messages(&mut tx, &backend.settings, &ids).await?;
    let names = store::chat_names(&mut tx, found.iter().map(|message| message.chat_id)).await?;
    let data = found.into_iter().map(|message| MessageFound {
        chat_name: names.get(&message.chat_id).cloned(),
        message,
    });
    Ok(MessagesFound {
        data: data.collect(),
        cursor: next_cursor.clone(),
        next_cursor,
        has_more,
        total,
    })
}

/// The newest hits before a cursor, the newest first: leaf through history from the newest back, until there are enough.
async fn find(tx: &mut Tx, scope: Scope, question: &Question, wanted: usize) -> Result<Vec<Hit>> {
    let mut hits: Vec<Hit> = Vec::new();
    let mut ending_before = None;
    for newest in NEWEST {
        let stretches = store::stretches(tx, scope, question, newest, ending_before).await?;
        leaf(tx, &stretches.promising, scope, question, wanted, &mut hits).await?;
        ending_before = stretches.considered_to;
        if ending_before.is_none_or(|time| is_enough(&hits, wanted, time)) {
            break;
        }
    }
    Ok(hits)
}

/// Whether enough was found after this time.
fn is_enough(hits: &[Hit], wanted: usize, time: DateTime<Utc>) -> bool {
    hits.get(wanted - 1).is_some_and(|hit| hit.at > time)
}

async fn leaf(
    tx: &mut Tx,
    mut rest: &[Stretch],
    scope: Scope,
    question: &Question,
    wanted: usize,
    hits: &mut Vec<Hit>,
) -> Result<()> {
    let mut step = FIRST_STEP;
    while let Some(next) = rest.first() {
        if is_enough(hits, wanted, next.last_at) {
            break;
        }
        let (now, later) = rest.split_at(step.min(rest.len()));
        hits.extend(store::hits(tx, now, scope.before, question, wanted).await?);
        hits.sort_unstable_by_key(|hit| std::cmp::Reverse((hit.at, hit.id)));
        hits.truncate(wanted);
        (rest, step) = (later, step * 4);
    }
    Ok(())
}
