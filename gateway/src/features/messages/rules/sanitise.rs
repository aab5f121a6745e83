//! What people wrote, as HTML that clients may show.
//!
//! Five tags are kept and comments vanish; everything else that was typed is shown as it was typed. The work is done
//! twice. [`balanced`] reads as a person does, so that nothing is lost: `a<b` is no tag, and what looks like one that
//! we do not keep is text. Then ammonia reads as a browser does and has the last word: should the two ever disagree
//! about what is markup, ammonia is right.
//!
//! Only `std` and ammonia are used here, because `gateway/fuzz` builds this file on its own.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use ammonia::Builder;

/// The tags that are kept, always without attributes.
const KEPT: [&str; 5] = ["b", "em", "i", "strong", "u"];

/// Elements whose content is text for a browser: a `<b>` in a script that somebody pasted is not meant to be bold.
const VERBATIM: [&str; 8] = [
    "iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp",
];

/// As long as the longest name of an entity, `&CounterClockwiseContourIntegral;`, without its ampersand.
const ENTITY_MAX: usize = 32;

static GUARD: LazyLock<Builder> = LazyLock::new(|| keeping(&KEPT));
static NO_TAGS: LazyLock<Builder> = LazyLock::new(|| keeping(&[]));

/// HTML that shows what was typed, with the five tags at work, and does nothing else.
///
/// Doing it again changes nothing. Entities that were typed keep their meaning, so `&lt;` never turns into a bracket.
pub fn harmless(typed: &str) -> String {
    settled(&GUARD.clean(&balanced(typed)).to_string())
}

/// What people see of harmless HTML, as plain text: what a search looks at.
pub fn text_of(html: &str) -> String {
    let escaped = NO_TAGS.clean(html).to_string();
    // The writer knows four entities. The ampersand comes last, or `&amp;lt;` would be decoded twice.
    [("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", "\u{a0}"), ("&amp;", "&")]
        .iter()
        .fold(escaped, |text, (entity, meaning)| text.replace(entity, meaning))
}

/// A sanitiser that keeps some tags, no attribute at all, and the content of whatever it drops.
fn keeping(tags: &'static [&'static str]) -> Builder<'static> {
    let mut builder = Builder::new();
    builder
        .tags(tags.iter().copied().collect())
        .tag_attributes(HashMap::new())
        .generic_attributes(HashSet::new())
        .clean_content_tags(HashSet::new())
        .link_rel(None)
        .strip_comments(true);
    builder
}

/// Takes out what a parser would read differently the next time, so that sanitising twice is sanitising once.
fn settled(html: &str) -> String {
    // A no-break space is put back because replies and notifications show the content as text, not as HTML.
    // A carriage return can only come from `&#13;`, and a mark of byte order only counts at the very beginning.
    html.trim_start_matches('\u{feff}')
        .replace("&nbsp;", "\u{a0}")
        .replace('\r', "\n")
}

/// The text with the kept tags properly nested and all closed, and everything else escaped.
fn balanced(typed: &str) -> String {
    let mut html = Nested::default();
    let mut rest = typed;
    while !rest.is_empty() {
        let (piece, length) = first_piece(rest);
        match piece {
            Piece::Text => html.text(&rest[..length]),
            Piece::Comment => {}
            Piece::Start(name) => html.start(name),
            Piece::End(name) => html.end(name),
        }
        rest = &rest[length..];
    }
    html.finish()
}

enum Piece {
    Text,
    Comment,
    Start(&'static str),
    End(&'static str),
}

/// What the text begins with, and how many bytes of it; at least one.
fn first_piece(text: &str) -> (Piece, usize) {
    if let Some(length) = comment_length(text) {
        return (Piece::Comment, length);
    }
    if let Some(tag) = Tag::at_start_of(text) {
        return match tag.kept() {
            Some(name) if tag.is_end => (Piece::End(name), tag.length),
            Some(name) => (Piece::Start(name), tag.length),
            None => (
                Piece::Text,
                tag.length + verbatim_length(&tag, &text[tag.length..]),
            ),
        };
    }
    // A bracket that begins nothing is text, up to the next one.
    let bracket = usize::from(text.starts_with('<'));
    let length = text[bracket..].find('<').map_or(text.len(), |at| bracket + at);
    (Piece::Text, length)
}

/// A comment that never ends is no comment: somebody would miss the rest of the message.
fn comment_length(text: &str) -> Option<usize> {
    // The dashes that open it may also close it: `<!-->` is a whole comment.
    let dashes = text.strip_prefix("<!").filter(|rest| rest.starts_with("--"))?;
    dashes.find("-->").map(|at| "<!".len() + at + "-->".len())
}

/// How much of the text is the content of the tag, when that is no place for other tags. Without an end tag it is
/// nothing: the rest of the message stays a message.
fn verbatim_length(tag: &Tag, text: &str) -> usize {
    let is_verbatim = !tag.is_end && VERBATIM.iter().any(|name| tag.is(name));
    if !is_verbatim {
        return 0;
    }
    // Only the name is looked at. Reading whole tags here would let a hostile message cost a second.
    let ends_it = |at: &usize| split_name(&text[at + "</".len()..]).is_some_and(|(name, _)| tag.is(name));
    let mut ends = text.match_indices("</").map(|(at, _)| at);
    ends.find(ends_it).unwrap_or(0)
}

/// Something in angle brackets that a browser takes for a tag.
struct Tag<'a> {
    name: &'a str,
    is_end: bool,
    length: usize,
}

impl<'a> Tag<'a> {
    fn at_start_of(text: &'a str) -> Option<Self> {
        let inside = text.strip_prefix('<')?;
        let (is_end, inside) = inside
            .strip_prefix('/')
            .map_or((false, inside), |inside| (true, inside));
        let (name, attributes) = split_name(inside)?;
        let length = text.len() - attributes.len() + attributes_length(attributes)?;
        Some(Self { name, is_end, length })
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn kept(&self) -> Option<&'static str> {
        KEPT.into_iter().find(|name| self.is(name))
    }
}

/// The name of a tag, and what follows. There is no name without something that ends it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| is_space(c) || matches!(c, '/' | '>' | '<'))?;
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic());
    is_name.then(|| text.split_at(end))
}

/// The length of everything up to the bracket that closes the tag, which is not one in a quoted value.
///
/// A browser would read over an opening bracket. People who type one before they closed the last did not mean a tag:
/// `if a <b and c <d>`.
fn attributes_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += bytes[at..].iter().position(|byte| b"<>=".contains(byte))? + 1;
        match bytes[at - 1] {
            b'>' => return Some(at),
            b'=' => at += quoted_length(&bytes[at..])?,
            _ => return None,
        }
    }
}

/// The length of a quoted value with the space before it; 0 for any other value, and nothing when the quote never ends.
fn quoted_length(text: &[u8]) -> Option<usize> {
    let space = text
        .iter()
        .take_while(|byte| is_space(char::from(**byte)))
        .count();
    match text.get(space) {
        Some(quote @ (b'"' | b'\'')) => text[space + 1..]
            .iter()
            .position(|byte| byte == quote)
            .map(|end| space + end + 2),
        _ => Some(0),
    }
}

/// White space as HTML counts it.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

/// HTML in the making, and what is still open in it.
#[derive(Default)]
struct Nested {
    html: String,
    open: Vec<&'static str>,
}

impl Nested {
    fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(['<', '>', '&']) {
            let (before, special) = rest.split_at(at);
            self.html.push_str(before);
            let entity = entity_length(special);
            match special.as_bytes()[0] {
                b'<' => self.html.push_str("&lt;"),
                b'>' => self.html.push_str("&gt;"),
                _ if entity > 0 => self.html.push_str(&special[..entity]),
                _ => self.html.push_str("&amp;"),
            }
            rest = &special[entity.max(1)..];
        }
        self.html.push_str(rest);
    }

    fn start(&mut self, name: &'static str) {
        self.html.extend(["<", name, ">"]);
        self.open.push(name);
    }

    /// Closes the innermost tag of this name with all that it holds; there may be none.
    fn end(&mut self, name: &'static str) {
        if let Some(depth) = self.open.iter().rposition(|open| *open == name) {
            self.close_down_to(depth);
        }
    }

    fn finish(mut self) -> String {
        self.close_down_to(0);
        self.html
    }

    fn close_down_to(&mut self, depth: usize) {
        for name in self.open.drain(depth..).rev() {
            self.html.extend(["</", name, ">"]);
        }
    }
}

/// The length of the entity at the beginning of the text, or 0. Without its semicolon it is none: people who write
/// `?page=1&copy=2` do not mean ©.
fn entity_length(text: &str) -> usize {
    let Some(body) = text.strip_prefix('&') else {
        return 0;
    };
    let Some(end) = body.bytes().take(ENTITY_MAX).position(|b| b == b';') else {
        return 0;
    };
    let is_entity = match &body.as_bytes()[..end] {
        [b'#', b'x' | b'X', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit),
        [b'#', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        [first, rest @ ..] => first.is_ascii_alphabetic() && rest.iter().all(u8::is_ascii_alphanumeric),
        [] => false,
    };
    if is_entity { end + 2 } else { 0 }
}

#[cfg(test)]
mod tests;
