//! Decisions about messages that need no database.

/// What people wrote, as HTML that shows it and does nothing else.
///
/// Every bracket is escaped; entities that were typed stay what they are, so `&lt;` never turns into a bracket.
pub(super) fn harmless(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '>', '&']) {
        let (before, special) = rest.split_at(at);
        html.push_str(before);
        let entity = entity_length(special);
        match special.as_bytes()[0] {
            b'<' => html.push_str("&lt;"),
            b'>' => html.push_str("&gt;"),
            _ if entity > 0 => html.push_str(&special[..entity]),
            _ => html.push_str("&amp;"),
        }
        rest = &special[entity.max(1)..];
    }
    html.push_str(rest);
    html
}

/// The length of the entity at the beginning of the text, or 0.
fn entity_length(text: &str) -> usize {
    let Some(body) = text.strip_prefix('&') else {
        return 0;
    };
    let Some(end) = body.bytes().take(32).position(|b| b == b';') else {
        return 0;
    };
    let name = &body.as_bytes()[..end];
    let is_entity = match name {
        [b'#', b'x' | b'X', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit),
        [b'#', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        [first, rest @ ..] => first.is_ascii_alphabetic() && rest.iter().all(u8::is_ascii_alphanumeric),
        [] => false,
    };
    if is_entity { end + 2 } else { 0 }
}

/// What people see of harmless HTML.
pub(super) fn text_of(html: &str) -> String {
    let mut text = html.to_owned();
    for tag in ["b", "i", "em", "strong", "u"] {
        text = text
            .replace(&format!("<{tag}>"), "")
            .replace(&format!("</{tag}>"), "");
    }
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        for (typed, html) in [
            ("plain", "plain"),
            ("a < b & c", "a &lt; b &amp; c"),
            ("a &lt; b", "a &lt; b"),
            ("5 > 3 \"q\"", "5 &gt; 3 \"q\""),
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            ("<3 love", "&lt;3 love"),
            ("&lt;script&gt;", "&lt;script&gt;"),
            ("&#60;&#x3C; &# &; &x", "&#60;&#x3C; &amp;# &amp;; &amp;x"),
            ("ü&ü;ü", "ü&amp;ü;ü"),
        ] {
            assert_eq!(harmless(typed), html);
            assert_eq!(harmless(html), html, "doing it again changes nothing");
        }
    }
}
