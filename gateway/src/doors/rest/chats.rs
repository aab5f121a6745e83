//! Chats.

use axum::{
    Json as Answer,
    extract::{Path, State},
};
use http::StatusCode;
use shared::{
    ChatId,
    chat::{ChatPage, ListChats, StartDirectChat, StartGroup},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Rest,
    extract::{Json, PathId, Query},
    wrapped::ChatAnswer,
};
use crate::{
    error::Result,
    features::{
        Caller,
        chats::{list, start},
    },
};

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new()
        .routes(routes!(get_chats))
        .routes(routes!(get_chat))
        .routes(routes!(get_chat_by_slug))
        .routes(routes!(post_direct))
        .routes(routes!(post_group))
}

/// The caller's chats, those with the newest messages first.
#[utoipa::path(get, path = "/chats", tag = "chats", operation_id = "listChats",
    params(ListChats),
    responses((status = 200, body = ChatPage)))]
async fn get_chats(
    State(rest): State<Rest>,
    caller: Caller,
    Query(ask): Query<ListChats>,
) -> Result<Answer<ChatPage>> {
    Ok(Answer(list::list(&rest, &caller, ask).await?))
}

/// A chat that the caller is in.
#[utoipa::path(get, path = "/chats/{id}", tag = "chats", operation_id = "getChat",
    params(("id" = ChatId, Path)),
    responses((status = 200, body = ChatAnswer), (status = 403, description = "The caller has left this chat."),
        (status = 404, description = "The caller knows no such chat.")))]
async fn get_chat(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<ChatId>,
) -> Result<Answer<ChatAnswer>> {
    Ok(Answer(list::by_id(&rest, &caller, id).await?.into()))
}

/// A group by its readable address.
#[utoipa::path(get, path = "/chats/slug/{slug}", tag = "chats", operation_id = "getChatBySlug",
    params(("slug" = String, Path)),
    responses((status = 200, body = ChatAnswer), (status = 403, description = "The caller has left this chat."),
        (status = 404, description = "The caller knows no such chat.")))]
async fn get_chat_by_slug(
    State(rest): State<Rest>,
    caller: Caller,
    Path(slug): Path<String>,
) -> Result<Answer<ChatAnswer>> {
    Ok(Answer(list::by_slug(&rest, &caller, &slug).await?.into()))
}

/// The chat with a contact.
#[utoipa::path(post, path = "/chats/direct", tag = "chats", operation_id = "startDirectChat",
    request_body = StartDirectChat,
    responses((status = 200, body = ChatAnswer, description = "It was there."),
        (status = 201, body = ChatAnswer, description = "It is new."),
        (status = 403, description = "They are not contacts."), (status = 404, description = "Nobody has this id.")))]
async fn post_direct(
    State(rest): State<Rest>,
    caller: Caller,
    Json(ask): Json<StartDirectChat>,
) -> Result<(StatusCode, Answer<ChatAnswer>)> {
    let (chat, is_new) = start::direct(&rest, &caller, ask).await?;
    Ok((
        if is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        },
        Answer(chat.into()),
    ))
}

/// Start a group.
#[utoipa::path(post, path = "/chats/group", tag = "chats", operation_id = "startGroup",
    request_body = StartGroup,
    responses((status = 201, body = ChatAnswer)))]
async fn post_group(
    State(rest): State<Rest>,
    caller: Caller,
    Json(ask): Json<StartGroup>,
) -> Result<(StatusCode, Answer<ChatAnswer>)> {
    Ok((
        StatusCode::CREATED,
        Answer(start::group(&rest, &caller, ask).await?.into()),
    ))
}
