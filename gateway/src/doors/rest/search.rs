//! Finding people and messages.

use axum::{Json as Answer, extract::State};
use shared::{
    account::{FindPeople, PeopleFound},
    problem::Reason,
    search::{FindMessages, MessagesFound},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Rest, extract::Query, openapi::fails};
use crate::{
    error::Result,
    features::{
        Caller,
        search::{messages, people},
    },
};

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new()
        .routes(routes!(get_people))
        .routes(routes!(get_messages))
}

/// Find people by a part of their user name.
#[utoipa::path(get, path = "/users/search", tag = "users", operation_id = "findPeople",
    params(FindPeople),
    responses((status = 200, body = PeopleFound)))]
async fn get_people(
    State(rest): State<Rest>,
    caller: Caller,
    Query(ask): Query<FindPeople>,
) -> Result<Answer<PeopleFound>> {
    Ok(Answer(people::people(&rest, &caller, ask).await?))
}

/// Find messages in the caller's chats, the newest first.
#[utoipa::path(get, path = "/messages/search", tag = "messages", operation_id = "findMessages",
    params(FindMessages),
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft])))),
    responses((status = 200, body = MessagesFound), (status = 403, description = "The caller has left this chat."),
        (status = 404, description = "The caller knows no such chat.")))]
async fn get_messages(
    State(rest): State<Rest>,
    caller: Caller,
    Query(ask): Query<FindMessages>,
) -> Result<Answer<MessagesFound>> {
    Ok(Answer(messages::messages(&rest, &caller, ask).await?))
}
