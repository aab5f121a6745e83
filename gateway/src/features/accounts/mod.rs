//! People, as others see them.

pub mod avatar;
pub mod profile;
mod store;
pub mod update;

pub use self::store::{UserRow, people, user};

use shared::{
    account::User,
    event::{Event, ProfileUpdated},
    topic::Topic,
};
use tracing::warn;

use crate::{
    db::Tx,
    error::Result,
    features::{Backend, presence},
};

/// Somebody looks different now. They hear of it on all their devices for sure; contacts and members of common chats do if they
/// are there, and see it anyway when they look next.
async fn tell_new_looks(backend: &Backend, mut tx: Tx, user: &User) -> Result<()> {
    let now = backend.clock.now();
    let looks = |user: User| {
        Event::ProfileUpdated(ProfileUpdated {
            user_id: user.id,
            user,
            timestamp: now,
        })
    };
    tx.record(Topic::User(user.id), &looks(user.clone()), now).await?;
    tx.commit().await?;
    // Others see whether they are there, and not what they chose.
    let mut seen = user.clone();
    presence::seen(backend, [&mut seen]).await;
    match store::onlookers(&backend.db, user.id).await {
        Ok(onlookers) => backend
            .bus
            .publish_passing(onlookers.into_iter().map(Topic::User), &looks(seen)),
        Err(error) => {
            warn!(?error, "Cannot tell others of a changed profile");
            Ok(())
        }
    }
}
