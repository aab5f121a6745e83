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
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

    use super::{super::properties, *};

    /// The table of the wire contract, where one rule says: what is not kept stays as its escaped source.
    #[test]
    fn does_what_the_contract_says() {
        for (typed, html) in [
            ("a < b & c", "a &lt; b &amp; c"),
            ("a &lt; b", "a &lt; b"),
            ("5 > 3 \"q\"", "5 &gt; 3 \"q\""),
            ("<b onclick=\"x()\">z</b>", "<b>z</b>"),
            ("<STRONG>UP</STRONG>", "<strong>UP</strong>"),
            ("<strong>open", "<strong>open</strong>"),
            ("</strong>", ""),
            ("<b><i>x</b></i>", "<b><i>x</i></b>"),
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            (
                "<img src=x onerror=alert(1)>",
                "&lt;img src=x onerror=alert(1)&gt;",
            ),
            ("x<br>y", "x&lt;br&gt;y"),
            ("<!-- c -->z", "z"),
            ("<3 love", "&lt;3 love"),
            ("a<b", "a&lt;b"),
            ("&lt;script&gt;", "&lt;script&gt;"),
        ] {
            assert_eq!(harmless(typed), html, "{typed}");
            properties::hold_for(typed);
        }
    }

    /// What the table leaves open, as we decided it.
    #[test]
    fn loses_nothing_that_was_typed() {
        for (typed, html) in [
            ("<u>x</u> <em>y</em>", "<u>x</u> <em>y</em>"),
            ("<div><b>x</b></div>", "&lt;div&gt;<b>x</b>&lt;/div&gt;"),
            ("<b><div>x</b></div>", "<b>&lt;div&gt;x</b>&lt;/div&gt;"),
            (
                "<script>\"<b>\"</script><b>x",
                "&lt;script&gt;\"&lt;b&gt;\"&lt;/script&gt;<b>x</b>",
            ),
            ("<script><b>x</b>", "&lt;script&gt;<b>x</b>"),
            ("<p title='<b>'>", "&lt;p title='&lt;b&gt;'&gt;"),
            ("<b title=\">\">x", "<b>x</b>"),
            ("<b/>x", "<b>x</b>"),
            ("<b\n>x</b\t>", "<b>x</b>"),
            ("<br/><base><bB>", "&lt;br/&gt;&lt;base&gt;&lt;bB&gt;"),
            ("if a<b and c<d>e", "if a&lt;b and c&lt;d&gt;e"),
            ("<strong>a<b</strong>", "<strong>a&lt;b</strong>"),
            ("<b <i>x</i>", "&lt;b <i>x</i>"),
            ("<b x=\"</b>", "&lt;b x=\""),
            ("</ b></>", "&lt;/ b&gt;&lt;/&gt;"),
            ("x<!-- never closed", "x&lt;!-- never closed"),
            ("<!-->a<!--->b<!-- -- -->c", "abc"),
            ("<!doctype html>", "&lt;!doctype html&gt;"),
            ("<![CDATA[<i>x</i>]]>", "&lt;![CDATA[<i>x</i>]]&gt;"),
            ("<?php 1 ?>", "&lt;?php 1 ?&gt;"),
            ("?a=1&copy=2 R&D &x; &;", "?a=1&amp;copy=2 R&amp;D &amp;x; &amp;;"),
            ("&#60;&#x3C;&copy;&amp;lt;", "&lt;&lt;©&amp;lt;"),
            ("\u{a0}&nbsp;&amp;nbsp;", "\u{a0}\u{a0}&amp;nbsp;"),
            ("\n a\r\nb\t\n", "\n a\nb\t\n"),
            ("\u{feff}\u{feff}x\u{feff}&#13;\0", "x\u{feff}\n"),
            ("ü&ü;ü &# &amp", "ü&amp;ü;ü &amp;# &amp;amp"),
            ("👩‍👩‍👧 ünï 中", "👩‍👩‍👧 ünï 中"),
        ] {
            assert_eq!(harmless(typed), html, "{typed}");
            properties::hold_for(typed);
        }
    }

    #[test]
    fn survives_hostile_input() {
        for typed in [
            "<svg onload=alert(1)>",
            "<svg/onload=alert(1)//",
            "<svg><b><style><img src=x onerror=alert(1)></style>",
            "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
            "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
            "<math><annotation-xml encoding=\"text/html\"><b onclick=x>y",
            "<form><math><mtext></form><form><mglyph><svg><mtext><style><path id=\"</style><img onerror=alert(1) src>\">",
            "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
            "<textarea><b onclick=alert(1)></textarea><b onclick=alert(1)>",
            "<title><b></title><img src=x onerror=alert(1)>",
            "<plaintext><b>x</plaintext>",
            "<xmp><i></xmp><i>",
            "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
            "<template><b>x</template></b>",
            "<select><option><b>x</select>",
            "<table><b>x<tr><i>y</table>z",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<a href='java&#10;script:alert(1)'>x</a>",
            "<b style=\"background:url(javascript:alert(1))\">x",
            "<b onclick=alert(1) onclick=alert(2)>x</b onclick=alert(3)>",
            "<b\u{c}onclick=alert(1)>x",
            "<b/onclick=alert(1)/>x",
            "<b\0onclick=alert(1)>x",
            "<\0b>x<b\0>y</\0b>",
            "<b\u{a0}onclick=alert(1)>x",
            "<b =\">\" x=>y",
            "<b x=a\"b>c\">d",
            "<b x = '>' y = \">\">z",
            "<b<script>alert(1)</script>>",
            "<<b>script>alert(1)<</b>/script>",
            "<scr<b>ipt>alert(1)</scr</b>ipt>",
            "<scr<!-- -->ipt>alert(1)</scr<!-- -->ipt>",
            "<<!-- -->img src=x onerror=alert(1)>",
            "&<!-- -->lt;&l<!-- -->t;&#6<!-- -->0;",
            "<!-- --!><img src=x onerror=alert(1)> -->",
            "<!--><img src=x onerror=alert(1)>-->",
            "<!--[if IE]><script>alert(1)</script><![endif]-->",
            "<!-- <!-- --> --> <!-",
            "<![CDATA[><img src=x onerror=alert(1)>]]>",
            "<?xml version=\"1.0\"?><?x <b>?>",
            "<!ENTITY x \"<img src=x>\">&x;",
            "&lt;img src=x onerror=alert(1)&gt;",
            "&amp;lt;script&amp;gt;",
            "&#60script&#62 &#x3cscript&#X3E; &ltscript&gt",
            "&#0;&#13;&#10;&#128;&#xD800;&#x110000;&#99999999999999999999;",
            "&notit;&NotEqualTilde;&CounterClockwiseContourIntegral;&fjlig;",
            "\u{feff}<!-- -->\u{feff}&#xFEFF;\u{feff}",
            "\r<!-- -->\n&#13;\n\r",
            "\u{202e}<b>\u{202e}",
            "＜script＞alert(1)＜/script＞",
            "<ſcript><\u{212a}bd><B\u{130}>",
            "<b><b><b><b><i><b></i></b>x</b></b></b></b></b>",
            "</b></i><b><i></b><b></i></u></b>",
            "<em><strong></em><em></strong></em>",
            "<nobr><b><nobr><b>x",
            "<a><b><a><b>x",
            "<p><b><p></b></p>",
            "</p></br></body></html><b>x",
            "<body onload=alert(1)><html><head><frameset>",
            "<b",
            "<",
            "</",
            "<!",
            "&",
            "&#",
            "",
        ] {
            properties::hold_for(typed);
        }
    }

    /// The same with everything that looks dangerous to a machine, put together by chance (but always the same chance).
    #[test]
    fn survives_what_nobody_thought_of() {
        let pieces = [
            "<",
            "<",
            "<",
            ">",
            ">",
            "/",
            "b",
            "i",
            "EM",
            "script",
            "style",
            "svg",
            "p",
            "br",
            " ",
            "\n",
            "\r",
            "\0",
            "=",
            "\"",
            "'",
            "&",
            "&",
            "lt;",
            "gt;",
            "amp;",
            "nbsp;",
            "#60;",
            "#13",
            "#x3c",
            ";",
            "!--",
            "-->",
            "-",
            "!",
            "?",
            "[CDATA[",
            "]]>",
            "<b>",
            "</b>",
            "<i>",
            "</i>",
            "<u ",
            "</strong>",
            "onclick=x",
            "x",
            "\u{a0}",
            "é",
            "👍",
            "\u{feff}",
        ];
        let mut chance = StdRng::seed_from_u64(5);
        for _ in 0..20_000 {
            let length = chance.random_range(1..16);
            let typed: String = (0..length)
                .filter_map(|_| pieces.choose(&mut chance).copied())
                .collect();
            properties::hold_for(&typed);
        }
    }

    /// Nothing is missing but the tags that work: with whole tags only, what is shown can be told without a parser.
    #[test]
    fn shows_all_the_rest() {
        let pieces = [
            "<b>",
            "</b>",
            "<i>",
            "</i>",
            "<U>",
            "</em>",
            "<img src=x>",
            "<p a='<b>'>",
            "</p>",
            "<3",
            "< ",
            " > ",
            "& ",
            "R&D ",
            "\"",
            "'",
            "word ",
            "\n",
            "é",
            "👍",
            "<svg/>",
            "<?x?>",
            "\u{a0}",
        ];
        let mut chance = StdRng::seed_from_u64(6);
        for _ in 0..2_000 {
            let chosen = (0..12).filter_map(|_| pieces.choose(&mut chance).copied());
            let (mut typed, mut shown) = (String::new(), String::new());
            for piece in chosen {
                typed.push_str(piece);
                if !["<b>", "</b>", "<i>", "</i>", "<U>", "</em>"].contains(&piece) {
                    shown.push_str(piece);
                }
            }
            assert_eq!(text_of(&harmless(&typed)), shown, "{typed:?}");
        }
    }

    #[test]
    fn search_finds_what_was_typed() {
        for (typed, text) in [
            ("R&D", "R&D"),
            ("<b>R</b>&amp;D", "R&D"),
            ("a < b > c", "a < b > c"),
            ("&amp;lt;", "&lt;"),
            ("&lt;b&gt;", "<b>"),
            ("un<b>believ</b>able", "unbelievable"),
            ("<!-- c -->5&nbsp;€ \"q\"", "5\u{a0}€ \"q\""),
            ("<i></i>", ""),
        ] {
            assert_eq!(text_of(&harmless(typed)), text);
        }
        assert_eq!(text_of("&eacute;&#233;&#xe9;&copy;"), "ééé©");
    }

    /// Messages of the greatest length, made to cost as much as they can: tens of milliseconds when optimised,
    /// where a careless search for the end of a script took a second.
    #[test]
    fn takes_the_longest_messages() {
        for piece in [
            "<b>",
            "<b><i>",
            "<b></i>",
            "<em><b></em>",
            "<!--",
            "<script></script '='",
        ] {
            properties::hold_for(&piece.repeat(10_000 / piece.len()));
        }
    }
}
