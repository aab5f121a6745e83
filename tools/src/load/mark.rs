//! What a message of ours says: which one it is, and when it was meant to be sent. Read wherever it arrives.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// In front of a mark; and what follows makes the message as long as people's messages are.
const BEGINNING: &str = "\"content\":\"load ";
const FILLER: &str =
    "and the rest of what somebody has to say to everybody here, about as long as people write";

/// One message of one chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub chat: usize,
    /// Which of the chat's messages, in the order in which they were meant to be sent.
    pub number: u32,
    /// When, in microseconds since the run began.
    pub due: u64,
}

impl Mark {
    pub fn content(self) -> String {
        let Self { chat, number, due } = self;
        format!("load {chat} {number} {due} {FILLER}")
    }

    /// The mark of the message that is somewhere in this JSON.
    pub fn find(json: &[u8]) -> Option<Self> {
        static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(BEGINNING));
        let at = FINDER.find(json)? + BEGINNING.len();
        let mut numbers = json[at..].split(|byte| *byte == b' ').map(number);
        Some(Self {
            chat: usize::try_from(numbers.next()??).ok()?,
            number: u32::try_from(numbers.next()??).ok()?,
            due: numbers.next()??,
        })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_again() {
        let mark = Mark {
            chat: 17,
            number: 4_000_000,
            due: 123_456_789,
        };
        let json = serde_json::json!(["message:new", {"id": "x", "content": mark.content()}]).to_string();
        assert_eq!(Mark::find(json.as_bytes()), Some(mark));
        assert_eq!(Mark::find(b"{\"content\":\"hello\"}"), None);
        assert_eq!(Mark::find(b"{\"content\":\"load 1 x 2 \"}"), None);
    }
}
