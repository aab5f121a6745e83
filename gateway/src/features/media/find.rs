//! Show an uploaded image's particulars: to its uploader, and once it is in a message, to whoever may read that.

use shared::{AttachmentId, media::Attachment};

use super::store::{self, Row};
use crate::{
    db::Tx,
    error::{Error, Result},
    features::{Backend, Caller, chats},
    limits::Limited,
};

pub async fn find(backend: &Backend, caller: &Caller, id: AttachmentId) -> Result<Attachment> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    Ok(visible(&mut tx, caller, id).await?.shown(&backend.settings))
}

/// The image, if the caller may know of it. Who has left its chat is told so; for strangers there is no such image.
pub(super) async fn visible(tx: &mut Tx, caller: &Caller, id: AttachmentId) -> Result<Row> {
    let unknown = Error::NotFound("image");
    let (row, chat) = store::find(tx, id).await?.ok_or(Error::NotFound("image"))?;
    match chat {
        Some(chat) => match chats::member_place(tx, caller.user, chat).await {
            Ok(_) => Ok(row),
            Err(Error::NotFound(_)) => Err(unknown),
            Err(error) => Err(error),
        },
        None if row.uploader_id == caller.user => Ok(row),
        None => Err(unknown),
    }
}
