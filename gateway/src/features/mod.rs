//! What the messenger does. One folder for each subject; in it one file for each verb, `rules.rs` for decisions without I/O, and
//! `store.rs` for its SQL. Every door calls these functions, and nothing in here knows a protocol.

pub mod accounts;
pub mod auth;
pub mod caller;
pub mod chats;
pub mod contacts;
pub mod dispatch;
pub mod health;
pub mod media;
pub mod messages;
pub mod presence;
pub mod receipts;
pub mod search;
pub mod sessions;

use std::sync::Arc;

pub use self::caller::{Caller, Visitor, Way};
use crate::{
    bus::Bus,
    clock::Clock,
    db::{AtOnce, Db, Tx},
    error::Result,
    features::{
        auth::{passwords::Passwords, tokens::AccessTokens},
        media::{Admission, Darkroom, blobs::Blobs},
    },
    lifecycle::Tasks,
    limits::{Attempts, Limits},
    telemetry::metrics::Metrics,
};

/// All that use cases need, made once at start.
#[derive(Debug)]
pub struct Backend {
    pub db: Db,
    pub bus: Bus,
    pub blobs: Blobs,
    pub clock: Clock,
    pub limits: Limits,
    pub attempts: Arc<Attempts>,
    pub passwords: Passwords,
    pub darkroom: Darkroom,
    pub admission: Admission,
    pub access_tokens: AccessTokens,
    pub sessions: sessions::Living,
    pub turns: sessions::Turns,
    pub health: health::Health,
    pub presence: presence::Presence,
    pub arrivals: receipts::Arrivals,
    pub sends: messages::send::Sends,
    pub tasks: Tasks,
    pub settings: Settings,
    pub metrics: Arc<Metrics>,
}

/// The settings that rules depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a login session lasts after it was last refreshed.
    pub session_lifetime: std::time::Duration,
    /// How many people a group may have.
    pub group_max_members: usize,
    /// What the addresses of images begin with.
    pub images_url: String,
}

impl Settings {
    /// The address of the image with this key.
    pub fn image_url(&self, key: &str) -> String {
        format!("{}/{key}", self.images_url)
    }
}

impl Backend {
    pub async fn begin(&self) -> Result<Tx> {
        self.db.begin(&self.bus, &self.tasks, &self.metrics).await
    }

    /// For what is written by one statement.
    pub async fn at_once(&self) -> Result<AtOnce> {
        self.db.at_once(&self.bus, &self.metrics).await
    }
}
