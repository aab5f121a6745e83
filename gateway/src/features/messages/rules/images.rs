//! How a message names its images, and how it shows them.

use serde::{Deserialize, Deserializer};
use serde_json::{json, value::RawValue};
use shared::{
    AttachmentId,
    media::Attachment,
    message::{SendMessage, SentType},
    text::Metadata,
};

use crate::{
    error::{Error, Result},
    features::media::{IMAGES_MAX, attach::Named},
};

/// The keys of the metadata that mean something to us.
#[derive(Deserialize)]
struct Meant {
    #[serde(default, deserialize_with = "given")]
    images: Option<Vec<Addresses>>,
    #[serde(default, deserialize_with = "given")]
    attachments: Option<Vec<AttachmentId>>,
}

/// What is given must make sense; null does not.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// An image as the client names it: whatever it says must be an address of the same one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Addresses {
    url: String,
    thumbnail_url: Option<String>,
    medium_url: Option<String>,
    original_url: Option<String>,
}

/// The images that a message names, each with the field where. An image message has at least one, any other something to say.
pub fn images_named(ask: &SendMessage) -> Result<Vec<(String, Named)>> {
    let meant: Meant = serde_json::from_str(ask.metadata.json()).map_err(|_| {
        Error::invalid(
            "metadata",
            "must have images as a list of objects with a url, and attachments as a list of ids",
        )
    })?;
    let images = meant
        .images
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(index, image)| {
            let addresses = [
                Some(image.url),
                image.thumbnail_url,
                image.medium_url,
                image.original_url,
            ];
            (
                format!("metadata.images[{index}]"),
                Named::Addresses(addresses.into_iter().flatten().collect()),
            )
        });
    let attachments = meant.attachments.unwrap_or_default().into_iter().enumerate();
    let attachments =
        attachments.map(|(index, id)| (format!("metadata.attachments[{index}]"), Named::Id(id)));
    let named: Vec<_> = images.chain(attachments).collect();
    if named.len() > 2 * IMAGES_MAX {
        return Err(Error::invalid(
            "metadata.images",
            format!("must not be more than {IMAGES_MAX}"),
        ));
    }
    match (named.is_empty(), ask.content_type) {
        (true, SentType::Image) => Err(Error::invalid(
            "metadata.images",
            "must name an image that you uploaded",
        )),
        (true, SentType::Text) if ask.content.is_empty() => {
            Err(Error::invalid("content", "must not be empty"))
        }
        _ => Ok(named),
    }
}

/// The metadata as it was sent. Only where the images are named by ids alone, their addresses are added: clients show what they find
/// there.
pub fn with_images(metadata: &Metadata, images: &[Attachment]) -> Box<RawValue> {
    let has_addresses =
        serde_json::from_str::<Meant>(metadata.json()).is_ok_and(|meant| meant.images.is_some());
    if images.is_empty() || has_addresses {
        return metadata.clone().into();
    }
    let images: Vec<_> = images
        .iter()
        .map(|image| json!({"url": image.url, "thumbnailUrl": image.thumbnail_url, "originalUrl": image.original_url}))
        .collect();
    let rest = metadata.json().trim_start_matches('{').trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    let added = format!("{{\"images\":{}{comma}{rest}", json!(images));
    RawValue::from_string(added).unwrap_or_else(|_| metadata.clone().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(json: &str) -> Result<Vec<(String, Named)>, String> {
        let ask: SendMessage = serde_json::from_str(json).unwrap();
        images_named(&ask).map_err(|error| error.problem().message.into_owned())
    }

    #[test]
    fn images_are_named_by_addresses_and_by_ids() {
        let id = AttachmentId::new();
        let both = format!(
            r#"{{"contentType":"image","content":"","metadata":{{"sentAt":1.50,
                "images":[{{"url":"a","thumbnailUrl":"b","alt":"c"}}],"attachments":["{id}"]}}}}"#
        );
        let addresses = Named::Addresses(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(
            named(&both),
            Ok(vec![
                ("metadata.images[0]".to_owned(), addresses),
                ("metadata.attachments[0]".to_owned(), Named::Id(id))
            ])
        );
        assert_eq!(
            named(r#"{"content":"hi","metadata":{"images":[],"other":{}}}"#),
            Ok(vec![])
        );
        for (wrong, why) in [
            (r#"{"content":"  "}"#, "Content must not be empty."),
            (r#"{}"#, "Content must not be empty."),
            (
                r#"{"contentType":"image","content":"x"}"#,
                "Metadata.images must name an image that you uploaded.",
            ),
        ] {
            assert_eq!(named(wrong), Err(why.to_owned()));
        }
        for wrong in ["1", "null", "[1]", r#"[{"link":"a"}]"#, r#"{"url":"a"}"#] {
            let ask = format!(r#"{{"content":"x","metadata":{{"images":{wrong}}}}}"#);
            assert!(
                named(&ask).unwrap_err().starts_with("Metadata must have images"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn addresses_are_added_and_the_rest_is_untouched() {
        let image = Attachment {
            id: AttachmentId::new(),
            message_id: None,
            file_name: "cat.png".to_owned(),
            file_type: "image/png".to_owned(),
            file_size: 1,
            url: "u".to_owned(),
            thumbnail_url: "t".to_owned(),
            medium_url: "m".to_owned(),
            original_url: "u".to_owned(),
            width: 1,
            height: 1,
            created_at: shared::samples::noon(),
        };
        let with = |json: &str, images: &[Attachment]| {
            let metadata: Metadata = serde_json::from_str(json).unwrap();
            with_images(&metadata, images).get().to_owned()
        };
        let shown = r#""images":[{"originalUrl":"u","thumbnailUrl":"t","url":"u"}]"#;
        let one = [image];
        assert_eq!(with("{}", &one), format!("{{{shown}}}"));
        assert_eq!(with("{ \"n\": 1.50 }", &one), format!("{{{shown},\"n\": 1.50 }}"));
        assert_eq!(with("{ \"n\": 1.50 }", &[]), "{ \"n\": 1.50 }");
        let named = r#"{"images":[{"url":"u","x":1.0}]}"#;
        assert_eq!(with(named, &one), named);
    }
}
