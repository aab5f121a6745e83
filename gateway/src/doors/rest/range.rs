//! What a client has of an image already, and which part of it it asks for.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{
    error::{Error, Result},
    features::media::fetch::Part,
};

/// Does the client have what bears this tag?
pub(super) fn knows(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = tags
        .filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','));
    tags.any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/").as_bytes() == tag.as_bytes()
    })
}

/// The part that is asked for. What we do not understand is as if it had not been said (RFC 9110, 14.2), and so is a list of parts,
/// which no image viewer asks for.
pub(super) fn asked(headers: &HeaderMap, tag: &HeaderValue) -> Option<Part> {
    // Only if it is still the same, or else all of it; a date could not tell, but nothing here ever changes within one.
    if headers
        .get(header::IF_RANGE)
        .is_some_and(|condition| condition != tag)
    {
        return None;
    }
    let range = headers.get(header::RANGE)?.to_str().ok()?;
    let (unit, part) = range.split_once('=')?;
    let (first, last) = part.trim().split_once('-')?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| digits.parse::<u64>().ok()).flatten()
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    match (first, last) {
        ("", count) => number(count).map(Part::Last),
        (first, "") => number(first).map(Part::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Part::Between(first, last))
        }
    }
}

/// The answer to who asks for a part that is not there: how much there is.
pub(super) fn beyond_the_end(size: u64) -> Result<Response> {
    let size = HeaderValue::from_str(&format!("bytes */{size}")).map_err(Error::internal)?;
    Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, size)]).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: HeaderValue = HeaderValue::from_static("\"k\"");

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn ranges_are_understood_or_ignored() {
        let part = |range| asked(&with(header::RANGE, range), &TAG);
        assert_eq!(part("bytes=0-99"), Some(Part::Between(0, 99)));
        assert_eq!(part("Bytes = 5-"), Some(Part::From(5)));
        assert_eq!(part("bytes=-7"), Some(Part::Last(7)));
        for nonsense in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=9-3",
            "bytes=0-1,5-6",
            "bytes=+1-2",
            "lines=1-2",
            "bytes=a-b",
        ] {
            assert_eq!(part(nonsense), None, "{nonsense}");
        }
        assert_eq!(part("bytes=0-99999999999999999999999"), None);
        let mut headers = with(header::RANGE, "bytes=0-1");
        headers.insert(header::IF_RANGE, TAG);
        assert!(asked(&headers, &TAG).is_some());
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"other\""));
        assert_eq!(asked(&headers, &TAG), None);
    }

    #[test]
    fn tags_are_known_in_lists_and_weakly() {
        for tags in ["\"k\"", "W/\"k\"", "\"a\", \"k\"", "*"] {
            assert!(knows(&with(header::IF_NONE_MATCH, tags), &TAG), "{tags}");
        }
        assert!(!knows(&with(header::IF_NONE_MATCH, "\"kk\", k"), &TAG));
    }
}
