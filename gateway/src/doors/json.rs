//! From JSON to what is asked; what does not fit becomes a sentence about a field.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // Serde would also take a list of the fields' values.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::invalid("body", "must be an object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let inner = error.inner();
        if inner.is_data() {
            return misfit(&error.path().to_string(), &inner.to_string());
        }
        Error::invalid(
            "body",
            format!(
                "is not valid JSON (line {}, column {})",
                inner.line(),
                inner.column()
            ),
        )
    })?;
    reader
        .end()
        .map_err(|_| Error::invalid("body", "has something after its end"))?;
    Ok(value)
}

/// What serde says about a value, as a sentence about a field.
pub(super) fn misfit(path: &str, complaint: &str) -> Error {
    let complaint = complaint
        .rsplit_once(" at line ")
        .map_or(complaint, |(text, _)| text);
    let prefix = if path == "." {
        String::new()
    } else {
        format!("{path}.")
    };
    if let Some(name) = complaint
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        return Error::invalid(format!("{prefix}{name}"), "is required");
    }
    if let Some(name) = complaint
        .strip_prefix("duplicate field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        return Error::invalid(format!("{prefix}{name}"), "is given twice");
    }
    let field = if path == "." { "body" } else { path };
    if let Some((_, expected)) = complaint
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.rsplit_once(", expected "))
    {
        let expected = match expected {
            struct_name if struct_name.starts_with("struct ") => "an object",
            "a formatted UUID string" => "a UUID",
            expected => expected,
        };
        return Error::invalid(field, format!("must be {expected}"));
    }
    if let Some((_, expected)) = complaint
        .strip_prefix("unknown variant ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        return Error::invalid(field, format!("must be {}", expected.replace('`', "")));
    }
    let complaint = if complaint.starts_with("UUID parsing failed") {
        "must be a UUID"
    } else if ["premature end of input", "input ", "trailing input"]
        .iter()
        .any(|start| complaint.starts_with(start))
    {
        // What the parser of times says.
        "must be a time such as 2026-11-20T12:00:00Z"
    } else if complaint.starts_with("invalid digit") || complaint.starts_with("number too") {
        "must be a number"
    } else {
        complaint
    };
    Error::invalid(field, complaint)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use shared::account::{Register, UpdateProfile};

    use super::*;

    fn complaint<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        from_json::<T>(json.as_bytes())
            .unwrap_err()
            .problem()
            .message
            .into_owned()
    }

    #[test]
    fn complaints_read_as_sentences() {
        assert_eq!(
            complaint::<Register>("{"),
            "Body is not valid JSON (line 1, column 1)."
        );
        assert_eq!(complaint::<Register>("[]"), "Body must be an object.");
        assert_eq!(complaint::<Register>("5"), "Body must be an object.");
        assert_eq!(complaint::<Register>("{}"), "Username is required.");
        assert_eq!(
            complaint::<Register>(r#"{"username":5}"#),
            "Username must be a string."
        );
        assert_eq!(
            complaint::<Register>(r#"{"username":"ab"}"#),
            "Username must have 3 to 50 characters."
        );
        assert_eq!(
            complaint::<Register>(r#"{"username":"abc","username":"abc"}"#),
            "Username is given twice."
        );
        assert_eq!(
            complaint::<UpdateProfile>(r#"{"status":"busy"}"#),
            "Status must be one of online, away, offline."
        );
        assert_eq!(
            complaint::<UpdateProfile>(r#"{} {}"#),
            "Body has something after its end."
        );
        assert_eq!(
            complaint::<UpdateProfile>(r#"{"displayName":"\ud800"}"#),
            "Body is not valid JSON (line 1, column 23)."
        );
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        #[derive(Debug, Deserialize)]
        struct Anything {
            #[expect(dead_code, reason = "only parsed")]
            value: serde_json::Value,
        }
        let deep = format!("{{\"value\":{}", "[".repeat(500_000));
        assert!(complaint::<Anything>(&deep).contains("not valid JSON"));
    }
}
