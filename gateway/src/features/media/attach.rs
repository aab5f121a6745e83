//! Let messages use uploaded images.

use std::collections::HashSet;

use shared::{AttachmentId, MessageId, UserId, media::Attachment, problem::Reason};

use super::{
    IMAGES_MAX,
    store::{self, Row},
};
use crate::{
    db::Tx,
    error::{Error, Result},
    features::Settings,
};

/// How a message names one of its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Id(AttachmentId),
    /// Addresses of its versions; the first is that of the original.
    Addresses(Vec<String>),
}

/// Why a message cannot have its images.
#[derive(Debug)]
pub enum Unfit {
    /// What is named in this field is nobody's image, or somebody else's: which, is not for others to know.
    Foreign(String),
    /// A message has it already, perhaps this one.
    Used(Option<MessageId>),
    TooMany,
}

impl Unfit {
    /// The message that has it, if it was there before us.
    pub fn used_by(&self) -> Option<MessageId> {
        match self {
            Self::Used(message) => *message,
            Self::Foreign(_) | Self::TooMany => None,
        }
    }
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Foreign(field) => Self::invalid(field, "is not an image that you uploaded"),
            Unfit::Used(_) => Self::Conflict(Reason::AttachmentUsed),
            Unfit::TooMany => Self::invalid("metadata.images", format!("must not be more than {IMAGES_MAX}")),
        }
    }
}

/// The images of several messages, for each of them: who sends it, and what it names in which field. In the order in which they are
/// named, each once. Until the end of the transaction no other message takes them.
pub async fn hold(
    tx: &mut Tx,
    settings: &Settings,
    messages: &[(UserId, &[(String, Named)])],
) -> Result<Vec<Result<Vec<Attachment>, Unfit>>> {
    let mut ids = Vec::new();
    let mut keys = Vec::new();
    for (_, name) in messages.iter().flat_map(|(_, named)| *named) {
        match name {
            Named::Id(id) => ids.push(*id),
            Named::Addresses(addresses) => {
                keys.extend(addresses.first().and_then(|first| key_in(settings, first)));
            }
        }
    }
    let users: Vec<UserId> = messages.iter().map(|(user, _)| *user).collect();
    let mut rows = store::hold_unused(tx, &users, &ids, &keys).await?;
    if rows.len() < ids.len() + keys.len() {
        // Only to say what is wrong.
        rows.extend(store::used(tx, &users, &ids, &keys).await?);
    }
    let mut taken = HashSet::new();
    let of_message = |(user, named): &(UserId, &[(String, Named)])| {
        let mut images: Vec<Attachment> = Vec::new();
        for (field, name) in *named {
            let row = rows
                .iter()
                .find(|row| row.uploader_id == *user && is_named(settings, row, name));
            let row = row.ok_or_else(|| Unfit::Foreign(field.clone()))?;
            if row.message_id.is_some() || taken.contains(&row.id) {
                return Err(Unfit::Used(row.message_id));
            }
            if images.iter().all(|other| other.id != row.id) {
                images.push(row.clone().shown(settings));
            }
        }
        if images.len() > IMAGES_MAX {
            return Err(Unfit::TooMany);
        }
        taken.extend(images.iter().map(|image| image.id));
        Ok(images)
    };
    Ok(messages.iter().map(of_message).collect())
}

/// From now on these are the images of these messages.
pub async fn give<'a>(
    tx: &mut Tx,
    messages: impl Iterator<Item = (MessageId, &'a [Attachment])>,
) -> Result<()> {
    let images = messages.flat_map(|(message, images)| images.iter().map(move |image| (message, image.id)));
    let (messages, images): (Vec<_>, Vec<_>) = images.unzip();
    if images.is_empty() {
        return Ok(());
    }
    store::give(tx, &messages, &images).await
}

/// Is this what is meant? Whatever addresses are given must all be of the one image.
fn is_named(settings: &Settings, row: &Row, name: &Named) -> bool {
    match name {
        Named::Id(id) => row.id == *id,
        Named::Addresses(addresses) => {
            let mut keys = addresses.iter().map(|address| key_in(settings, address));
            let is_original = keys.next().flatten() == Some(&row.original_key);
            is_original && keys.all(|key| key.is_some_and(|key| row.has_key(key)))
        }
    }
}

/// The key in an address of ours.
fn key_in<'a>(settings: &Settings, address: &'a str) -> Option<&'a str> {
    address.strip_prefix(&settings.images_url)?.strip_prefix('/')
}
