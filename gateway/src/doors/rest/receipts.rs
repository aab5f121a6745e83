//! How far messages got. Bodies are not read: clients send none, under any name.

use axum::extract::State;
use http::StatusCode;
use shared::{ChatId, MessageId, problem::Reason};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Rest, extract::PathId, openapi::fails};
use crate::{
    error::Result,
    features::{Caller, receipts::mark_read},
};

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new()
        .routes(routes!(post_message_read))
        .routes(routes!(post_chat_read))
}

/// Read a message, and with it everything before it in its chat.
#[utoipa::path(post, path = "/messages/{id}/read", tag = "messages", operation_id = "readMessage",
    params(("id" = MessageId, Path)),
    extensions(("x-fails" = json!(fails(["message"], [Reason::ChatLeft])))),
    responses((status = 204), (status = 403, description = "The caller has left this chat."),
        (status = 404, description = "The caller knows no such message.")))]
async fn post_message_read(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<MessageId>,
) -> Result<StatusCode> {
    mark_read::messages(&rest, &caller, &[id]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Read everything in a chat.
#[utoipa::path(post, path = "/chats/{id}/read", tag = "messages", operation_id = "readChat",
    params(("id" = ChatId, Path)),
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft])))),
    responses((status = 204), (status = 403, description = "The caller has left this chat."),
        (status = 404, description = "The caller knows no such chat.")))]
async fn post_chat_read(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<ChatId>,
) -> Result<StatusCode> {
    mark_read::chat(&rest, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
