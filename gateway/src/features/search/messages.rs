//! Find messages in the caller's chats.

use shared::{
    ChatId, MessageId,
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
/// So many stretches of history are looked at first, and each step looks at four times as many.
const FIRST_STEP: usize = 16;
/// So many are listed at first: what is common is found in them, and what is rare is not in more.
const FIRST_LIST: usize = 256;

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
    let mut tx = backend.begin().await?;
    if let Some(chat) = ask.chat_id {
        chats::member_place(&mut tx, caller.user, chat).await?;
    }
    let stems = if rules::may_mean_words(&literal) {
        store::stems(&mut tx, &literal).await?
    } else {
        Vec::new()
    };
    let question = Question::new(literal.trim(), &stems);
    // One more than wanted tells whether there are more.
    let wanted = ask.limit.get() + 1;
    let mut hits = find(
        &mut tx,
        caller,
        ask.chat_id,
        &question,
        ask.cursor,
        wanted.max(COUNTED_UP_TO),
    )
    .await?;
    let mut total = hits.len().min(COUNTED_UP_TO);
    if ask.cursor.is_some() && total < COUNTED_UP_TO {
        total = find(&mut tx, caller, ask.chat_id, &question, None, COUNTED_UP_TO)
            .await?
            .len();
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

/// The newest hits before a cursor, the newest first.
async fn find(
    tx: &mut Tx,
    caller: &Caller,
    chat: Option<ChatId>,
    question: &Question,
    before: Option<HitCursor>,
    wanted: usize,
) -> Result<Vec<Hit>> {
    let mut hits: Vec<Hit> = Vec::new();
    let scope = Scope {
        user: caller.user,
        chat,
        before,
    };
    let newest = store::stretches(tx, scope, question, None, Some(FIRST_LIST)).await?;
    leaf(tx, &newest, question, before, wanted, &mut hits).await?;
    if let Some(last) = newest.last().filter(|_| newest.len() == FIRST_LIST)
        && !is_enough(&hits, wanted, last)
    {
        // Those that end at the same time may be among the older ones again, and so may their hits.
        let older = store::stretches(tx, scope, question, Some(last.last_at), None).await?;
        leaf(tx, &older, question, before, wanted, &mut hits).await?;
    }
    Ok(hits)
}

/// Whether nothing in this stretch or in older ones is newer than what was found.
fn is_enough(hits: &[Hit], wanted: usize, next: &Stretch) -> bool {
    hits.get(wanted - 1).is_some_and(|hit| hit.at > next.last_at)
}

/// Look through stretches from the newest back, until there are enough hits.
async fn leaf(
    tx: &mut Tx,
    mut rest: &[Stretch],
    question: &Question,
    before: Option<HitCursor>,
    wanted: usize,
    hits: &mut Vec<Hit>,
) -> Result<()> {
    let mut step = FIRST_STEP;
    while let Some(next) = rest.first() {
        if is_enough(hits, wanted, next) {
            break;
        }
        let (now, later) = rest.split_at(step.min(rest.len()));
        hits.extend(store::hits(tx, now, question, before, wanted).await?);
        hits.sort_unstable_by_key(|hit| std::cmp::Reverse((hit.at, hit.id)));
        hits.dedup();
        hits.truncate(wanted);
        (rest, step) = (later, step * 4);
    }
    Ok(())
}
