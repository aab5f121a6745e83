//! What is true of every sanitised message, whatever was typed: for the tests and for the fuzzer.

use super::sanitise::{harmless, text_of};

const TAGS: [&str; 10] = [
    "<b>",
    "</b>",
    "<em>",
    "</em>",
    "<i>",
    "</i>",
    "<strong>",
    "</strong>",
    "<u>",
    "</u>",
];

/// Panics with the sentence that is not true.
pub fn hold_for(typed: &str) {
    let html = harmless(typed);
    assert_is_harmless(&html);
    assert_eq!(harmless(&html), html, "sanitising twice is sanitising once");
    assert_browsers_agree(&html);
    assert_nothing_is_swallowed(typed);
}

/// Read byte for byte, without a parser that could be wrong: nothing has a meaning but the tags as we write them, each
/// closed in its order, and the three entities.
fn assert_is_harmless(html: &str) {
    let mut open = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '>', '&']) {
        rest = &rest[at..];
        if let Some(tag) = TAGS.into_iter().find(|tag| rest.starts_with(tag)) {
            match tag.strip_prefix("</") {
                Some(name) => assert_eq!(open.pop(), Some(name), "well nested: {html:?}"),
                None => open.push(&tag[1..]),
            }
            rest = &rest[tag.len()..];
        } else {
            let entity = ["&amp;", "&lt;", "&gt;"]
                .into_iter()
                .find(|entity| rest.starts_with(entity));
            let entity = entity.unwrap_or_else(|| panic!("only five tags and three entities: {html:?}"));
            rest = &rest[entity.len()..];
        }
    }
    assert!(open.is_empty(), "all closed: {html:?}");
}

/// A sanitiser that would let far more pass parses it as a browser does, and finds nothing to repair or to remove.
fn assert_browsers_agree(html: &str) {
    let parsed = ammonia::clean(html).replace("&nbsp;", "\u{a0}");
    assert_eq!(parsed, html, "a browser reads it as it is written");
}

/// No bracket or quote that was left open takes the end of the message with it.
fn assert_nothing_is_swallowed(typed: &str) {
    let text = text_of(&harmless(&format!("{typed} the end")));
    assert!(
        text.ends_with(" the end"),
        "{typed:?} swallowed the end: {text:?}"
    );
}
