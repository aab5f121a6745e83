//! Delete an uploaded image that no message uses. What is in a message goes with the message.

use shared::{AttachmentId, problem::Reason};

use super::{find::visible, store};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller},
    limits::Limited,
};

pub async fn discard(backend: &Backend, caller: &Caller, id: AttachmentId) -> Result<()> {
    backend.limits.check(Limited::General, caller.user).await?;
    let mut tx = backend.begin().await?;
    let image = visible(&mut tx, caller, id).await?;
    if image.uploader_id != caller.user {
        return Err(Error::Forbidden(Reason::NotUploader));
    }
    // A message may have taken it a moment ago.
    if image.message_id.is_some() || !store::delete_unused(&mut tx, id).await? {
        return Err(Error::Conflict(Reason::AttachmentUsed));
    }
    tx.commit().await
}
