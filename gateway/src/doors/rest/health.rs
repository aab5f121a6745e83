//! Health, under all the addresses that probes and clients know.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use shared::health::{Detailed, DetailedChecks, Health, Live, Ready, State as Condition};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Rest;
use crate::features::health::checks;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new()
        .routes(routes!(get_health))
        .routes(routes!(get_live))
        .routes(routes!(get_ready))
        .routes(routes!(get_detailed))
}

/// How things are; always 200 while the process lives.
#[utoipa::path(get, path = "/health", tag = "health", operation_id = "getHealth", security(()), responses((status = 200, body = Health)))]
async fn get_health(State(rest): State<Rest>) -> Answer<Health> {
    let checks = checks(&rest).await;
    Answer(Health {
        status: checks.overall(),
        timestamp: rest.clock.now(),
        version: VERSION,
        uptime: rest.started.elapsed().as_secs_f64(),
        services: checks,
        database: checks.database.into(),
        redis: checks.redis.into(),
        storage: checks.storage.into(),
    })
}

/// Does this process do anything at all? Restart it if not.
#[utoipa::path(get, path = "/health/live", tag = "health", operation_id = "isAlive", security(()), responses((status = 200, body = Live)))]
async fn get_live(State(rest): State<Rest>) -> Answer<Live> {
    Answer(Live {
        status: Condition::Ok,
        alive: true,
        timestamp: rest.clock.now(),
    })
}

/// May this replica be sent work? Not while it leaves, and not without its database.
#[utoipa::path(get, path = "/health/ready", tag = "health", operation_id = "isReady", security(()),
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
async fn get_ready(State(rest): State<Rest>) -> (StatusCode, Answer<Ready>) {
    let checks = checks(&rest).await;
    let draining = rest.tasks.is_draining();
    let ready = !draining && checks.overall() != Condition::Error;
    let (code, status) = match ready {
        true => (StatusCode::OK, checks.overall()),
        false => (StatusCode::SERVICE_UNAVAILABLE, Condition::Error),
    };
    (
        code,
        Answer(Ready {
            status,
            ready,
            checks,
            draining,
            timestamp: rest.clock.now(),
        }),
    )
}

/// Each service behind, in words.
#[utoipa::path(get, path = "/health/detailed", tag = "health", operation_id = "getHealthInDetail", security(()),
    responses((status = 200, body = Detailed), (status = 503, body = Detailed)))]
async fn get_detailed(State(rest): State<Rest>) -> (StatusCode, Answer<Detailed>) {
    let checks = checks(&rest).await;
    let code = match checks.overall() {
        Condition::Error => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let detailed = Detailed {
        status: checks.overall(),
        checks: DetailedChecks {
            database: checks.database.into(),
            redis: checks.redis.into(),
            storage: checks.storage.into(),
        },
        timestamp: rest.clock.now(),
        version: VERSION,
        uptime: rest.started.elapsed().as_secs_f64(),
    };
    (code, Answer(detailed))
}
