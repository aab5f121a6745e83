//! Decisions about searching that need no database.

use chrono::{DateTime, Utc};

/// Whether PostgreSQL's index of trigrams has something to look up for a part of a user name: three letters or digits in a row.
pub(super) fn has_trigrams(part: &str) -> bool {
    part.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|run| run.len() >= 3)
}

/// The text with everything that means something to LIKE made to mean itself.
pub(super) fn literally(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal
}

/// Text as it is searched: in lower case, with every run of white space and control characters made one space.
///
/// Letter by letter, so that a part of a text folds to a part of the folded text (a final sigma would not).
pub fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'ς' => folded.push('σ'),
            _ if c.is_whitespace() || c.is_control() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            _ => folded.extend(c.to_lowercase()),
        }
    }
    folded
}

/// Whether somebody who typed this may mean the words in it rather than exactly these characters: `meeting, tomorrow?` may,
/// `R&D`, `100%` and `a_b` do not.
pub(super) fn may_mean_words(folded: &str) -> bool {
    folded
        .chars()
        .all(|c| c.is_alphanumeric() || c.is_whitespace() || ".,;:!?'’\"()-".contains(c))
}

/// What of a stem is a part of every word that has this stem.
///
/// English stems are where their words begin, except that stemming makes `i` of `y` (happy, happiness: happi), adds an `e` (hoping:
/// hope), makes `bl` of `bil` (capability: capabl), and knows a few short words by heart (dying: die, skies: sky). Tried with
/// 380,000 words.
pub(super) fn root(stem: &str) -> &str {
    match stem {
        "die" | "lie" | "tie" | "sky" => &stem[..1],
        _ if stem.chars().count() < 2 => stem,
        _ => stem
            .strip_suffix("bl")
            .filter(|root| !root.is_empty())
            .unwrap_or_else(|| stem.strip_suffix(['e', 'i', 'y']).unwrap_or(stem)),
    }
}

/// One message, as it is condensed.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub at: DateTime<Utc>,
    pub text: String,
    pub stems: Vec<String>,
}

/// So many bytes make a segment full, ...
const FULL: usize = 7_000;
/// ... a message being this much more than its text. That makes at most 250 of them: PostgreSQL remembers 256 places of a word.
const LINE: usize = 28;
/// So many messages are worth a segment even if it does not get full.
const WORTHWHILE: usize = 64;

/// Cut messages that follow each other into segments. What is left over is worth one of its own only if nothing comes after it.
pub(super) fn portions(lines: &[Line], nothing_follows: bool) -> Vec<&[Line]> {
    let (mut portions, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, line) in lines.iter().enumerate() {
        bytes += line.text.len() + LINE;
        if bytes >= FULL {
            portions.push(&lines[start..=index]);
            (start, bytes) = (index + 1, 0);
        }
    }
    let rest = &lines[start..];
    if nothing_follows && rest.len() >= WORTHWHILE {
        portions.push(rest);
    }
    portions
}

/// Messages condensed.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub grams: Signature,
    pub stems: Signature,
    /// A line for each message.
    pub text: String,
    /// The words and in which lines they are, as PostgreSQL writes it.
    pub words: String,
}

pub(super) fn segment(lines: &[Line]) -> Segment {
    let mut segment = Segment {
        grams: Signature::new(GRAM_BITS),
        stems: Signature::new(STEM_BITS),
        text: String::new(),
        words: String::new(),
    };
    for (number, line) in (1..).zip(lines) {
        segment.grams.add_grams(&line.text);
        segment.stems.add_stems(&line.stems);
        segment.text.push_str(&line.text);
        segment.text.push('\n');
        for stem in &line.stems {
            segment.words.push_str(&format!("{}:{number} ", quoted(stem)));
        }
    }
    segment
}

/// A word where PostgreSQL reads words: nothing in it means anything.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\\', r"\\").replace('\'', "''"))
}

/// A set of bits: what has certain bits may contain something, what lacks one of them does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature(Vec<bool>);

/// Latin letters, digits and the space have a bit for each pair and each single one, which tells them for sure. What else there is,
/// and all that is three characters long, share the rest.
const COMMON: usize = 37;
const SINGLE: usize = COMMON * COMMON;
const SHARED: usize = 1_408;
const GRAM_BITS: usize = 8_192;
const STEM_BITS: usize = 4_096;

impl Signature {
    fn new(bits: usize) -> Self {
        Self(vec![false; bits])
    }

    /// Note which characters are in a text, and which twos and threes of them stand together.
    fn add_grams(&mut self, text: &str) {
        let common = |c: char| match c {
            'a'..='z' => Some(c as usize - 'a' as usize),
            '0'..='9' => Some(c as usize - '0' as usize + 26),
            ' ' => Some(36),
            _ => None,
        };
        let mut before = [None, None];
        for c in text.chars() {
            let single = common(c).map_or_else(|| shared(&[c]), |c| SINGLE + c);
            self.0[single] = true;
            if let [first, Some(second)] = before {
                let pair = match (common(second), common(c)) {
                    (Some(a), Some(b)) => a * COMMON + b,
                    _ => shared(&[second, c]),
                };
                self.0[pair] = true;
                if let Some(first) = first {
                    self.0[shared(&[first, second, c])] = true;
                }
            }
            before = [before[1], Some(c)];
        }
    }

    /// Note which words are in a text, by their stems.
    fn add_stems(&mut self, stems: &[String]) {
        for stem in stems {
            self.0[hash(stem.bytes()) % STEM_BITS] = true;
        }
    }

    /// As PostgreSQL writes it.
    pub fn bits(&self) -> String {
        self.0.iter().map(|bit| if *bit { '1' } else { '0' }).collect()
    }
}

fn shared(gram: &[char]) -> usize {
    let bytes = gram.iter().flat_map(|c| u32::from(*c).to_le_bytes());
    SHARED + hash(bytes) % (GRAM_BITS - SHARED)
}

/// FNV-1a: what is stored relies on it, so it is ours and stays the same.
fn hash(bytes: impl Iterator<Item = u8>) -> usize {
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    // The low bits alone would be of poor quality.
    (hash ^ (hash >> 15)) as usize
}

/// What is looked for: a text anywhere, or its words in any form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The text as it was typed, folded.
    pub literal: String,
    pub grams: Signature,
    /// Whether its words may be meant.
    pub by_words: bool,
    pub stems: Signature,
    /// All words in the same line, as PostgreSQL writes it.
    pub words: String,
    /// What every message with these words contains: the longest part, ...
    pub root: String,
    /// ... the other ones, ...
    pub other_roots: Vec<String>,
    /// ... and what follows for a segment.
    pub root_grams: Signature,
}

impl Question {
    /// The question for a folded text with these stems; with none if it means no words.
    pub fn new(literal: &str, stems: &[String]) -> Self {
        let mut roots: Vec<&str> = stems.iter().map(|stem| root(stem)).collect();
        roots.sort_unstable_by_key(|root| std::cmp::Reverse(root.len()));
        let mut question = Self {
            literal: literal.to_owned(),
            grams: Signature::new(GRAM_BITS),
            by_words: !stems.is_empty(),
            stems: Signature::new(STEM_BITS),
            words: stems
                .iter()
                .map(|stem| quoted(stem))
                .collect::<Vec<_>>()
                .join(" <0> "),
            root: roots.first().copied().unwrap_or_default().to_owned(),
            other_roots: roots.iter().skip(1).copied().map(str::to_owned).collect(),
            root_grams: Signature::new(GRAM_BITS),
        };
        question.grams.add_grams(literal);
        question.stems.add_stems(stems);
        for root in roots {
            question.root_grams.add_grams(root);
        }
        question
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_mean_themselves() {
        assert_eq!(literally(r"100%_\"), r"100\%\_\\");
    }

    #[test]
    fn trigrams_need_three_in_a_row() {
        assert!(has_trigrams("ann") && has_trigrams("a_b_123"));
        assert!(!has_trigrams("an") && !has_trigrams("an_na") && !has_trigrams("äbc"));
    }

    #[test]
    fn case_and_white_space_do_not_matter() {
        for (text, expected) in [
            ("Hello  World\n\t\u{1}again", "hello world again"),
            ("ПРИВЕТ Ёж", "привет ёж"),
            ("ΟΔΟΣ οδος", "οδοσ οδοσ"),
            ("🎉 Ünï", "🎉 ünï"),
        ] {
            assert_eq!(folded(text), expected);
            assert_eq!(folded(expected), expected);
        }
    }

    #[test]
    fn words_are_told_from_what_is_meant_literally() {
        for words in ["running", "meeting, tomorrow?", "Tom's e-mail", "как дела"] {
            assert!(may_mean_words(words), "{words}");
        }
        for literal in ["r&d", "100%", "a_b", r"c:\x", "🎉", "c++", "#1", "a/b"] {
            assert!(!may_mean_words(literal), "{literal}");
        }
    }

    #[test]
    fn roots_are_parts_of_words() {
        for (stem, word) in [
            ("run", "running"),
            ("happi", "happy"),
            ("hope", "hoping"),
            ("capabl", "capability"),
            ("die", "dying"),
            ("sky", "skies"),
            ("я", "я"),
            ("e", "e"),
            ("bl", "bl"),
        ] {
            assert!(!root(stem).is_empty() && word.contains(root(stem)), "{stem}");
        }
    }

    fn line(text: &str, stems: &[&str]) -> Line {
        Line {
            at: DateTime::UNIX_EPOCH,
            text: text.to_owned(),
            stems: stems.iter().map(|stem| (*stem).to_owned()).collect(),
        }
    }

    #[test]
    fn segments_get_full_or_wait() {
        let lengths = |lines: &[Line], nothing_follows| {
            let portions = portions(lines, nothing_follows);
            portions.iter().map(|portion| portion.len()).collect::<Vec<_>>()
        };
        let short = vec![line("x", &[]); 600];
        assert_eq!(lengths(&short, false), [242, 242]);
        assert_eq!(lengths(&short, true), [242, 242, 116]);
        assert_eq!(lengths(&short[..63], true), [0; 0]);
        assert_eq!(
            lengths(&[line(&"x".repeat(20_000), &[]), line("", &[])], true),
            [1]
        );
        const { assert!(FULL / LINE <= 255) };
    }

    #[test]
    fn segments_know_their_words_by_line() {
        let segment = segment(&[
            line("it's a\\b", &["it's", r"a\b"]),
            line("", &[]),
            line("b", &["b"]),
        ]);
        assert_eq!(segment.text, "it's a\\b\n\nb\n");
        assert_eq!(segment.words, r"'it''s':1 'a\\b':1 'b':3 ");
        assert_eq!(
            (segment.grams.bits().len(), segment.stems.bits().len()),
            (GRAM_BITS, STEM_BITS)
        );
    }

    #[test]
    fn what_contains_something_has_its_signature() {
        let grams_in = |text: &str| Question::new(text, &[]).grams.0;
        let whole = grams_in("the r&d budget, как дела? 猫🎉");
        let has = |part: &str| {
            grams_in(part)
                .iter()
                .zip(&whole)
                .all(|(part, whole)| !part || *whole)
        };
        for part in ["the", "r&d", " b", "b", "ак д", "?", "猫", "猫🎉", ""] {
            assert!(has(part), "{part}");
        }
        for part in ["qz", "q", "eh", "дк", "🎉猫"] {
            assert!(!has(part), "{part}");
        }
    }

    #[test]
    fn questions_ask_for_words_in_one_line() {
        let stems = ["happi".to_owned(), "report".to_owned()];
        let question = Question::new("happy reports", &stems);
        assert_eq!(question.words, "'happi' <0> 'report'");
        assert_eq!(
            (&*question.root, &*question.other_roots),
            ("report", &["happ".to_owned()][..])
        );
        assert!(!Question::new("r&d", &[]).by_words);
    }
}
