//! REST: one file for each subject, named like the feature behind it.

mod accounts;
mod auth;
mod chats;
mod contacts;
mod extract;
mod flushed;
mod form;
pub mod health;
mod media;
mod messages;
pub mod openapi;
pub mod problem;
mod range;
mod receipts;
mod search;
mod wrapped;

use std::{ops::Deref, sync::Arc, time::Instant};

use axum::Router;
use ipnet::IpNet;
use utoipa_axum::router::OpenApiRouter;

use crate::{features::Backend, lifecycle::Tasks};

/// What handlers need besides the request.
#[derive(Clone, Debug)]
pub struct Rest {
    pub backend: Arc<Backend>,
    pub tasks: Tasks,
    pub trusted_proxies: Arc<[IpNet]>,
    pub started: Instant,
}

impl Deref for Rest {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        &self.backend
    }
}

/// All documented routes: one exists because it is documented.
fn routes() -> OpenApiRouter<Rest> {
    let api = OpenApiRouter::new()
        .merge(auth::router())
        .merge(accounts::router())
        .merge(search::router())
        .merge(contacts::router())
        .merge(chats::router())
        .merge(messages::router())
        .merge(receipts::router())
        .merge(media::router());
    OpenApiRouter::with_openapi(openapi::base())
        .nest("/api", api.merge(health::router()))
        .merge(health::router())
        .merge(media::images())
}

pub fn router(rest: Rest) -> Router {
    routes().with_state(rest).into()
}
