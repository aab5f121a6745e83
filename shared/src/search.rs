//! Finding messages.

use std::fmt;

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{ChatId, MessageId, message::Message, page::Limit, text::SearchText};

/// Find messages by their words in any form (`run` finds `running`), or by any part of their text, in any case.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct FindMessages {
    /// Words in any form, or a part of the text. Whoever types anything but words and punctuation means it literally.
    #[param(inline)]
    pub q: Option<SearchText>,
    /// The old name of `q`, which wins.
    #[param(inline)]
    pub query: Option<SearchText>,
    /// Only in this chat.
    pub chat_id: Option<ChatId>,
    /// The `nextCursor` of the page before, or a time: what was sent before it.
    #[param(value_type = Option<String>)]
    pub cursor: Option<HitCursor>,
    #[serde(default)]
    #[param(inline, required = false)]
    pub limit: Limit<50, 100>,
}

/// The end of a page of hits: when the last one was sent, and which it was, because in another chat something else may have been
/// sent at the same time. A time alone is the moment before everything that was sent then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HitCursor {
    pub at: DateTime<Utc>,
    pub id: Option<MessageId>,
}

impl TryFrom<String> for HitCursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parse = || {
            let (at, id) = match text.split_once('_') {
                Some((at, id)) => (at, Some(id.parse().ok()?)),
                None => (&*text, None),
            };
            let at: DateTime<Utc> = at.parse().ok()?;
            (0..=9999).contains(&at.year()).then_some(Self { at, id })
        };
        parse().ok_or("must be the `nextCursor` of another page, or a time such as 2026-11-20T12:00:00Z")
    }
}

impl fmt::Display for HitCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at.to_rfc3339_opts(SecondsFormat::Micros, true))?;
        self.id.map_or(Ok(()), |id| write!(f, "_{id}"))
    }
}

/// Messages that were found, the newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagesFound {
    pub data: Vec<MessageFound>,
    /// The same as `nextCursor`.
    pub cursor: Option<String>,
    /// The cursor of the next page, which is older, if there is one.
    #[schema(example = "2026-11-20T12:00:00.000000Z_019a0000-0000-7000-8000-0123456789ab")]
    pub next_cursor: Option<String>,
    pub has_more: bool,
    /// How many there are on all pages together; counted up to 100.
    pub total: usize,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageFound {
    #[serde(flatten)]
    pub message: Message,
    /// The name of its chat; null in direct chats.
    pub chat_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        let cursor = |text: &str| HitCursor::try_from(text.to_owned());
        let id = "019a0000-0000-7000-8000-0123456789ab";
        let given = format!("2026-11-20T12:00:00.000001Z_{id}");
        assert_eq!(cursor(&given).map(|cursor| cursor.to_string()), Ok(given));
        let time = cursor("2026-11-20T12:00:00Z").unwrap();
        assert_eq!(
            (time.id, time.to_string()),
            (None, "2026-11-20T12:00:00.000000Z".to_owned())
        );
        for bad in [
            "",
            "_",
            "yesterday",
            "2026-11-20T12:00:00Z_",
            "-4800-01-01T00:00:00Z",
            &format!("x_{id}"),
        ] {
            assert!(cursor(bad).is_err(), "{bad}");
        }
    }
}
