//! Upload images for messages. They belong to whoever uploaded them until a message uses them.

use bytes::Bytes;
use shared::{AttachmentId, media::Attachment};

use super::{
    admission::Place,
    admit, drawing,
    keep::{Kept, keep},
    store::{self, Row},
};
use crate::{
    error::{Error, Result},
    features::{Backend, Caller},
    limits::Limited,
};

/// An upload under way. What it has stored belongs to nobody until it is finished, and is removed if it never is.
#[derive(Debug)]
pub struct Upload<'a> {
    backend: &'a Backend,
    caller: &'a Caller,
    _place: Place,
    images: Vec<(Row, Kept)>,
}

impl<'a> Upload<'a> {
    pub async fn begin(backend: &'a Backend, caller: &'a Caller, announced: Option<u64>) -> Result<Self> {
        Ok(Self {
            backend,
            caller,
            _place: admit(backend, caller, announced).await?,
            images: Vec::new(),
        })
    }

    /// One more image. Each counts as an upload.
    pub async fn add(&mut self, name: Option<&str>, file: Bytes) -> Result<()> {
        let backend = self.backend;
        if !self.images.is_empty() {
            backend.limits.check(Limited::Upload, self.caller.user).await?;
        }
        let drawn = backend.darkroom.develop(move || drawing::versions(&file)).await?;
        let (kind, bytes) = (drawn.original.kind, drawn.original.bytes.len());
        let kept = keep(backend, vec![drawn.original, drawn.medium, drawn.thumbnail]).await?;
        let [original, medium, thumbnail] = kept.keys() else {
            return Err(Error::internal("an image without its versions"));
        };
        let side = |pixels: u32| i32::try_from(pixels).map_err(Error::internal);
        let row = Row {
            id: AttachmentId::new(),
            uploader_id: self.caller.user,
            message_id: None,
            file_name: name_of(name, kind),
            file_type: kind.mime().to_owned(),
            file_size: i32::try_from(bytes).map_err(Error::internal)?,
            width: side(drawn.width)?,
            height: side(drawn.height)?,
            original_key: original.clone(),
            medium_key: medium.clone(),
            thumbnail_key: thumbnail.clone(),
            created_at: backend.clock.now(),
        };
        self.images.push((row, kept));
        Ok(())
    }

    /// All of them are there, or none.
    pub async fn finish(self) -> Result<Vec<Attachment>> {
        let mut tx = self.backend.begin().await?;
        let mut attachments = Vec::new();
        for (row, kept) in self.images {
            kept.claim(&mut tx).await?;
            store::insert(&mut tx, &row).await?;
            attachments.push(row.shown(&self.backend.settings));
        }
        tx.commit().await?;
        Ok(attachments)
    }
}

/// What an image is called: what its uploader called it, without where it lay and without what nobody can see.
fn name_of(name: Option<&str>, kind: drawing::Kind) -> String {
    const LONGEST: usize = 255;
    let name = name
        .unwrap_or_default()
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    match name.trim() {
        "" | "." | ".." => format!("image.{}", kind.extension()),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_nothing_of_where_files_lay() {
        let name = |name| name_of(name, drawing::Kind::Png);
        assert_eq!(name(Some("C:\\Users\\ada\\cat.png")), "cat.png");
        assert_eq!(name(Some("../../etc/\u{202e}\0pass\nwd ")), "\u{202e}passwd");
        assert_eq!(name(Some("..")), "image.png");
        assert_eq!(name(None), "image.png");
        assert_eq!(name(Some(&"ä".repeat(300))).chars().count(), 255);
    }
}
