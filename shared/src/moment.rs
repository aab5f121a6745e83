//! Times whose text sorts as they do: always six digits behind the second.
//!
//! Clients compare `createdAt` as text and send it back as a cursor, so a time that happens to fall on a whole millisecond must not
//! be written shorter than its neighbours.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

pub fn text(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// For `#[serde(serialize_with)]`.
pub fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(at))
}

/// For `#[serde(serialize_with)]`, where there may be none.
pub fn serialize_option<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    at.as_ref().map(text).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn whole_milliseconds_sort_with_the_others() {
        let at = DateTime::from_timestamp(1_795_262_400, 631_000_000).unwrap();
        assert_eq!(text(&at), "2026-11-21T12:00:00.631000Z");
        assert!(text(&at) < text(&(at + TimeDelta::microseconds(1))));
    }
}
