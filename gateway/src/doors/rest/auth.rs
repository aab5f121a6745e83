//! Registering, logging in and out, and the list of where one is logged in.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use shared::{
    SessionId,
    account::{LogIn, LogOut, LoggedIn, Refresh, Register},
    problem::Reason,
    session::LoginSessions,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Rest,
    extract::{Json, OptionalJson, PathId},
    openapi::fails,
};
use crate::{
    error::Result,
    features::{
        Caller, Visitor,
        auth::{log_in, log_out, refresh, register},
        sessions,
    },
};

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new()
        .routes(routes!(post_register))
        .routes(routes!(post_login))
        .routes(routes!(post_refresh))
        .routes(routes!(post_logout))
        .routes(routes!(get_sessions, delete_sessions))
        .routes(routes!(delete_session))
}

/// Make an account and log in.
#[utoipa::path(post, path = "/auth/register", tag = "auth", operation_id = "register", security(()),
    request_body = Register,
    extensions(("x-fails" = json!(fails([], [Reason::UsernameTaken, Reason::Busy])))),
    responses((status = 201, body = LoggedIn), (status = 409, description = "The user name is taken.")))]
async fn post_register(
    State(rest): State<Rest>,
    visitor: Visitor,
    Json(ask): Json<Register>,
) -> Result<(StatusCode, Answer<LoggedIn>)> {
    Ok((
        StatusCode::CREATED,
        Answer(register::register(&rest, &visitor, ask).await?),
    ))
}

/// Log in.
///
/// Five wrong passwords for a name within 15 minutes close it for 15 minutes (429, `ACCOUNT_LOCKED`). More log-ins at once than
/// the server can check within seconds are told to come back (429, `BUSY`).
#[utoipa::path(post, path = "/auth/login", tag = "auth", operation_id = "logIn", security(()),
    request_body = LogIn,
    extensions(("x-fails" = json!(fails([], [Reason::WrongCredentials, Reason::AccountLocked, Reason::Busy])))),
    responses((status = 200, body = LoggedIn), (status = 401, description = "Wrong user name or password.")))]
async fn post_login(
    State(rest): State<Rest>,
    visitor: Visitor,
    Json(ask): Json<LogIn>,
) -> Result<Answer<LoggedIn>> {
    Ok(Answer(log_in::log_in(&rest, &visitor, ask).await?))
}

/// Get a new pair of tokens for a refresh token.
///
/// Each refresh replaces the token. For 60 seconds the replaced one still gives the same successor; after that its use ends the
/// session, because somebody may have stolen it.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", operation_id = "refresh", security(()),
    request_body = Refresh,
    extensions(("x-fails" = json!(fails([], [Reason::RefreshTokenInvalid, Reason::SessionEnded])))),
    responses((status = 200, body = LoggedIn), (status = 401, description = "The session is over.")))]
async fn post_refresh(
    State(rest): State<Rest>,
    visitor: Visitor,
    Json(ask): Json<Refresh>,
) -> Result<Answer<LoggedIn>> {
    Ok(Answer(refresh::refresh(&rest, &visitor, ask).await?))
}

/// Log out: end this login session, or the one that a refresh token of the caller belongs to.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", operation_id = "logOut",
    request_body = Option<LogOut>,
    responses((status = 204)))]
async fn post_logout(
    State(rest): State<Rest>,
    caller: Caller,
    OptionalJson(ask): OptionalJson<LogOut>,
) -> Result<StatusCode> {
    log_out::log_out(&rest, &caller, ask).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where the caller is logged in.
#[utoipa::path(get, path = "/auth/sessions", tag = "auth", operation_id = "listSessions",
    responses((status = 200, body = LoginSessions)))]
async fn get_sessions(State(rest): State<Rest>, caller: Caller) -> Result<Answer<LoginSessions>> {
    Ok(Answer(sessions::list::list(&rest, &caller).await?))
}

/// Log out everywhere else.
#[utoipa::path(delete, path = "/auth/sessions", tag = "auth", operation_id = "revokeOtherSessions",
    responses((status = 204)))]
async fn delete_sessions(State(rest): State<Rest>, caller: Caller) -> Result<StatusCode> {
    sessions::revoke::revoke_others(&rest, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Log out one of the caller's sessions.
#[utoipa::path(delete, path = "/auth/sessions/{id}", tag = "auth", operation_id = "revokeSession",
    params(("id" = SessionId, Path)),
    extensions(("x-fails" = json!(fails(["session"], [])))),
    responses((status = 204), (status = 404, description = "The caller has no such living session.")))]
async fn delete_session(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<SessionId>,
) -> Result<StatusCode> {
    sessions::revoke::revoke(&rest, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
