//! Text that has been checked. Each type can only be built from text that obeys its rule, so whoever holds one need not ask.
//!
//! The error of a construction is the sentence a person reads beside the field.

use std::{fmt, ops::Deref};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::secret::Secret;

macro_rules! checked_text {
    ($(#[doc = $doc:literal])+ $name:ident { $(min: $min:literal, max: $max:literal,)? $(pattern: $pattern:literal,)? example: $example:literal } $check:expr) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let check: fn(String) -> Result<String, &'static str> = $check;
                check(text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    $(.min_length(Some($min)).max_length(Some($max)))?
                    $(.pattern(Some($pattern)))?
                    .examples([$example])
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

checked_text! {
    /// The name somebody logs in with and is found by. Unique as written: `Ada` and `ada` are two people.
    Username { min: 3, max: 50, pattern: "^[A-Za-z0-9_]+$", example: "alice" }
    |text| {
        if !(3..=50).contains(&text.len()) {
            return Err("must have 3 to 50 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err("may only contain letters, digits and underscores");
        }
        Ok(text)
    }
}

checked_text! {
    /// The name others see. Plain text: it is stored trimmed and without markup or control characters.
    DisplayName { min: 1, max: 100, example: "Alice" }
    |text| name(&text)
}

checked_text! {
    /// What somebody types into a search box.
    SearchText { min: 1, max: 100, example: "ali" }
    |text| {
        let trimmed = text.trim().to_owned();
        match trimmed.chars().count() {
            _ if trimmed.contains('\0') => Err("must not contain null characters"),
            0 => Err("must not be empty"),
            1..=100 => Ok(trimmed),
            _ => Err("must have at most 100 characters"),
        }
    }
}

checked_text! {
    /// What a group is called.
    GroupName { min: 1, max: 100, example: "Tea party" }
    |text| name(&text)
}

checked_text! {
    /// What somebody wrote, trimmed. Its markup has not been looked at yet.
    MessageText { min: 1, max: 10_000, example: "Hello Bob" }
    |text| {
        let trimmed = text.trim().to_owned();
        match trimmed.chars().count() {
            _ if trimmed.contains('\0') => Err("must not contain null characters"),
            0 => Err("must not be empty"),
            1..=10_000 => Ok(trimmed),
            _ => Err("must have at most 10,000 characters"),
        }
    }
}

checked_text! {
    /// The same, but there may be nothing to say: images speak for themselves.
    Caption { min: 0, max: 10_000, example: "Hello Bob" }
    |text| {
        let trimmed = text.trim();
        if trimmed.is_empty() { Ok(String::new()) } else { MessageText::try_from(text).map(String::from) }
    }
}

#[expect(clippy::derivable_impls, reason = "the type is written by the macro")]
impl Default for Caption {
    fn default() -> Self {
        Self(String::new())
    }
}

checked_text! {
    /// What somebody reacts with. Flags joined with others are the longest: ten code points.
    Emoji { min: 1, max: 10, example: "👍" }
    |text| {
        let trimmed = text.trim().to_owned();
        match trimmed.chars().count() {
            _ if trimmed.contains(char::is_control) => Err("must not contain control characters"),
            1..=10 => Ok(trimmed),
            _ => Err("must have 1 to 10 characters"),
        }
    }
}

checked_text! {
    /// A key by which a client recognises its own message.
    ClientKey { min: 1, max: 128, pattern: "^[!-~]+$", example: "01J9Z3-7" }
    |text| {
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        if visible && (1..=128).contains(&text.len()) { Ok(text) } else { Err("must have 1 to 128 visible characters") }
    }
}

/// What a client adds to a message: a JSON object, kept as it was written.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Box<RawValue>")]
pub struct Metadata(Box<RawValue>);

impl Metadata {
    const MAX_BYTES: usize = 16 * 1024;
    const MAX_DEPTH: usize = 32;

    pub fn json(&self) -> &str {
        self.0.get()
    }
}

impl From<Metadata> for Box<RawValue> {
    fn from(metadata: Metadata) -> Self {
        metadata.0
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self(RawValue::from_string("{}".to_owned()).expect("this is JSON"))
    }
}

impl TryFrom<Box<RawValue>> for Metadata {
    type Error = &'static str;

    fn try_from(json: Box<RawValue>) -> Result<Self, Self::Error> {
        match json.get() {
            text if !text.starts_with('{') => Err("must be an object"),
            text if text.len() > Self::MAX_BYTES => Err("must not be larger than 16 kB"),
            // Other people's parsers have to take it, too.
            text if depth(text) > Self::MAX_DEPTH => Err("must not be nested deeper than 32 levels"),
            _ => Ok(Self(json)),
        }
    }
}

impl utoipa::PartialSchema for Metadata {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Object)
            .into()
    }
}

impl utoipa::ToSchema for Metadata {}

/// How deep valid JSON is nested.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// A password that may be chosen: 8 to 128 characters with a lower-case letter, an upper-case letter and a digit.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct NewPassword(Secret<String>);

impl NewPassword {
    pub fn secret(&self) -> &Secret<String> {
        &self.0
    }
}

impl TryFrom<String> for NewPassword {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !(8..=128).contains(&text.chars().count()) {
            return Err("must have 8 to 128 characters");
        }
        if !text.chars().any(char::is_lowercase) {
            return Err("must contain a lower-case letter");
        }
        if !text.chars().any(char::is_uppercase) {
            return Err("must contain an upper-case letter");
        }
        if !text.chars().any(|c| c.is_ascii_digit()) {
            return Err("must contain a digit");
        }
        Ok(Self(Secret::new(text)))
    }
}

impl utoipa::PartialSchema for NewPassword {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                utoipa::openapi::KnownFormat::Password,
            )))
            .min_length(Some(8))
            .max_length(Some(128))
            .examples(["Wonderland1"])
            .into()
    }
}

impl utoipa::ToSchema for NewPassword {}

/// The text without tags, control characters and outer white space; nothing if it is far too long to be worth looking at.
///
/// Only `<` before a letter, `/` or `!` opens a tag, as in HTML: `a < b` and `<3` stay. A tag that never closes takes the rest
/// with it. Taking something out can make a new tag of what is left, so this goes on until nothing changes.
fn without_markup(text: &str) -> Option<String> {
    const LOOKED_AT: usize = 1_000;
    if text.chars().nth(LOOKED_AT).is_some() {
        return None;
    }
    let mut plain = text.to_owned();
    loop {
        let stripped = without_tags(&plain);
        if stripped == plain {
            return Some(plain);
        }
        plain = stripped;
    }
}

fn without_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let (before, tag) = rest.split_at(open);
        plain.push_str(before);
        if tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!') {
            rest = tag.find('>').map_or("", |end| &tag[end + 1..]);
        } else {
            plain.push('<');
            rest = &tag[1..];
        }
    }
    plain.push_str(rest);
    plain.retain(|c| !c.is_control());
    plain.trim().to_owned()
}

/// A name that people read: plain text of at most 100 characters.
fn name(text: &str) -> Result<String, &'static str> {
    let plain = without_markup(text).ok_or("must have at most 100 characters")?;
    match plain.chars().count() {
        0 => Err("must not be empty"),
        1..=100 => Ok(plain),
        _ => Err("must have at most 100 characters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn display_name(text: &str) -> Result<String, &'static str> {
        DisplayName::try_from(text.to_owned()).map(String::from)
    }

    #[test]
    fn usernames() {
        for good in ["abc", "A_1", &"x".repeat(50)] {
            assert!(Username::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            &"x".repeat(51),
            "with space",
            "ümlaut",
            "semi;colon",
            "nul\0l",
        ] {
            assert!(Username::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn display_names_are_plain_text() {
        assert_eq!(display_name("  Ada  ").as_deref(), Ok("Ada"));
        assert_eq!(display_name("<b>Ada</b>").as_deref(), Ok("Ada"));
        assert_eq!(
            display_name("<3 Ada & Bob < Carl").as_deref(),
            Ok("<3 Ada & Bob < Carl")
        );
        assert_eq!(display_name("<scr<b>ipt>x").as_deref(), Ok("ipt>x"));
        assert_eq!(display_name("A\0d\na").as_deref(), Ok("Ada"));
        assert!(display_name("<b></b> ").is_err());
        assert!(display_name("").is_err());
        assert!(display_name(&"ä".repeat(101)).is_err());
        assert!(display_name(&"ä".repeat(100)).is_ok());
    }

    #[test]
    fn markup_that_forms_when_other_markup_goes_is_gone_too() {
        for hostile in ["<<b>script>alert(1)</script>", "<\0b>x", "<<<a>b>c>d"] {
            let once = without_markup(hostile).unwrap();
            assert_eq!(without_markup(&once).as_ref(), Some(&once), "{hostile}");
            assert!(!once.contains("<s") && !once.contains("<b"), "{hostile} → {once}");
        }
    }

    #[test]
    fn nested_markup_costs_little() {
        let nested = |levels: usize| format!("{}{}", "<".repeat(levels), "a>".repeat(levels));
        assert!(display_name(&nested(300)).is_err());
        assert!(display_name(&nested(500_000)).is_err());
    }

    #[test]
    fn metadata_is_a_flat_enough_object() {
        let metadata = |json: &str| Metadata::try_from(RawValue::from_string(json.to_owned()).unwrap());
        assert!(metadata(r#"{"a":[{"b":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\"}]}"#).is_ok());
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(metadata(&deep(30)).is_ok() && metadata(&deep(40)).is_err());
        assert!(metadata("[]").is_err() && metadata("7").is_err());
    }

    #[test]
    fn passwords() {
        let ok = |p: &str| NewPassword::try_from(p.to_owned()).is_ok();
        assert!(ok("Test123!") && ok("Aa345678") && ok(&format!("Aa1{}", "x".repeat(125))));
        assert!(!ok("Aa34567") && !ok("alllower1") && !ok("ALLUPPER1") && !ok("NoDigitsHere"));
        assert!(!ok(&format!("Aa1{}", "x".repeat(126))));
    }
}
