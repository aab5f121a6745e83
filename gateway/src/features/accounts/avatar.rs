//! Change one's own picture.

use bytes::Bytes;
use shared::account::User;

use super::{store, tell_new_looks};
use crate::{
    error::Result,
    features::{
        Backend, Caller,
        media::{self, keep_thumbnail},
        presence,
    },
};

pub async fn change(backend: &Backend, caller: &Caller, place: media::Place, file: Bytes) -> Result<User> {
    let kept = keep_thumbnail(backend, place, file).await?;
    let now = backend.clock.now();
    let mut tx = backend.begin().await?;
    kept.claim(&mut tx).await?;
    // The one before is removed by a chore.
    store::replace_avatar(&mut tx, caller, kept.key(), now).await?;
    let mut user = store::user(&mut tx, &backend.settings, caller.user).await?;
    presence::seen_by(backend, tx.conn(), caller.user, [&mut user]).await?;
    tell_new_looks(backend, tx, &user).await?;
    Ok(user)
}
