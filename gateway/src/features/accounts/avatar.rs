//! Change one's own picture.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use rand::RngCore;
use shared::account::User;

use super::{store, tell_new_looks};
use crate::{
    error::Result,
    features::{Backend, Caller, presence},
    limits::Limited,
};

pub async fn change(backend: &Backend, caller: &Caller, file: Bytes) -> Result<User> {
    backend.limits.check(Limited::Upload, caller.user).await?;
    let drawn = backend.thumbnails.square(file).await?;
    let mut random = [0; 24];
    rand::rng().fill_bytes(&mut random);
    let key = format!("{}.{}", URL_SAFE_NO_PAD.encode(random), drawn.extension);
    backend.blobs.put(&key, drawn.content_type, drawn.bytes).await?;

    let now = backend.clock.now();
    let mut tx = backend.begin().await?;
    let old = store::replace_avatar(&mut tx, caller, &key, now).await?;
    let mut user = store::user(&mut tx, &backend.settings, caller.user).await?;
    presence::seen_by(backend, tx.conn(), caller.user, [&mut user]).await?;
    tell_new_looks(backend, tx, &user).await?;
    if let Some(old) = old {
        backend.blobs.remove(&old).await;
    }
    Ok(user)
}
