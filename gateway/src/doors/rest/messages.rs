//! Messages.

use axum::{
    Json as Answer,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use shared::{
    ChatId, MessageId,
    message::{EditMessage, MessagePage, React, ReactionRef, ReadHistory, SendMessage},
    problem::Reason,
    text::ClientKey,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Rest,
    extract::{Json, PathId, Query},
    flushed,
    openapi::fails,
    wrapped::{MessageAnswer, ReactionAnswer},
};
use crate::{
    error::{Error, Result},
    features::{
        Caller,
        messages::{delete, edit, history, react, send},
    },
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new()
        .routes(routes!(get_messages, post_message))
        .routes(routes!(
            get_messages_of,
            post_message_to,
            put_message,
            delete_message
        ))
        .routes(routes!(post_reaction))
        .routes(routes!(delete_reaction))
        .routes(routes!(delete_reaction_anywhere))
}

/// A page of messages, the oldest first: the newest, or those before `cursor`.
#[utoipa::path(get, path = "/chats/{id}/messages", tag = "messages", operation_id = "readHistory",
    params(("id" = ChatId, Path), ReadHistory),
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft])))),
    responses((status = 200, body = MessagePage), (status = 403, description = "The caller has left this chat."),
        (status = 404, description = "The caller knows no such chat.")))]
async fn get_messages(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(chat): PathId<ChatId>,
    Query(ask): Query<ReadHistory>,
) -> Result<Answer<MessagePage>> {
    Ok(Answer(history::history(&rest, &caller, chat, ask).await?))
}

/// Send a message.
#[utoipa::path(post, path = "/chats/{id}/messages", tag = "messages", operation_id = "sendMessage",
    params(("id" = ChatId, Path), ("Idempotency-Key" = Option<ClientKey>, Header)),
    request_body = SendMessage,
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft, Reason::NotContacts, Reason::Unreachable, Reason::ClientKeyReused, Reason::AttachmentUsed])))),
    responses((status = 201, body = MessageAnswer),
        (status = 200, body = MessageAnswer, description = "It had been sent before, with the same key."),
        (status = 403, description = "The caller has left this chat, or they are not contacts any more."),
        (status = 404, description = "The caller knows no such chat."),
        (status = 409, description = "The key belongs to a message in another chat.")))]
async fn post_message(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(chat): PathId<ChatId>,
    headers: HeaderMap,
    Json(mut ask): Json<SendMessage>,
) -> Result<Response> {
    if let Some(key) = headers.get(KEY).filter(|_| ask.client_message_id.is_none()) {
        let key = String::from_utf8_lossy(key.as_bytes()).into_owned();
        ask.client_message_id =
            Some(ClientKey::try_from(key).map_err(|e| Error::invalid("Idempotency-Key", e))?);
    }
    let sent = send::send(&rest, &caller, chat, ask).await?;
    let (status, headers) = match sent.is_replay {
        true => (
            StatusCode::OK,
            HeaderMap::from_iter([(REPLAY, HeaderValue::from_static("true"))]),
        ),
        false => (StatusCode::CREATED, HeaderMap::new()),
    };
    let message = sent.message.clone();
    let answer = (status, headers, Answer(MessageAnswer::from(sent.message))).into_response();
    Ok(match sent.is_replay {
        true => answer,
        false => flushed::then(answer, &rest.tasks, {
            let backend = rest.backend.clone();
            move || send::answered(&backend, &caller, &message)
        }),
    })
}

/// The same as `GET /chats/{id}/messages`: the id is that of the chat.
#[utoipa::path(get, path = "/messages/{id}", tag = "messages", operation_id = "readHistoryByOldPath",
    params(("id" = ChatId, Path), ReadHistory),
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft])))),
    responses((status = 200, body = MessagePage), (status = 403, description = "The caller has left this chat."),
        (status = 404, description = "The caller knows no such chat.")))]
async fn get_messages_of(
    state: State<Rest>,
    caller: Caller,
    chat: PathId<ChatId>,
    ask: Query<ReadHistory>,
) -> Result<Answer<MessagePage>> {
    get_messages(state, caller, chat, ask).await
}

/// The same as `POST /chats/{id}/messages`: the id is that of the chat.
#[utoipa::path(post, path = "/messages/{id}", tag = "messages", operation_id = "sendMessageByOldPath",
    params(("id" = ChatId, Path), ("Idempotency-Key" = Option<ClientKey>, Header)),
    request_body = SendMessage,
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft, Reason::NotContacts, Reason::Unreachable, Reason::ClientKeyReused, Reason::AttachmentUsed])))),
    responses((status = 201, body = MessageAnswer),
        (status = 200, body = MessageAnswer, description = "It had been sent before, with the same key."),
        (status = 403, description = "The caller has left this chat, or they are not contacts any more."),
        (status = 404, description = "The caller knows no such chat."),
        (status = 409, description = "The key belongs to a message in another chat.")))]
async fn post_message_to(
    state: State<Rest>,
    caller: Caller,
    chat: PathId<ChatId>,
    headers: HeaderMap,
    ask: Json<SendMessage>,
) -> Result<Response> {
    post_message(state, caller, chat, headers, ask).await
}

/// Let one's message say something else.
#[utoipa::path(put, path = "/messages/{id}", tag = "messages", operation_id = "editMessage",
    params(("id" = MessageId, Path)),
    request_body = EditMessage,
    extensions(("x-fails" = json!(fails(["message"], [Reason::ChatLeft, Reason::NotContacts, Reason::Unreachable, Reason::NotSender, Reason::MessageDeleted])))),
    responses((status = 200, body = MessageAnswer),
        (status = 403, description = "Somebody else sent it, the caller has left this chat, or they are not contacts any more."),
        (status = 404, description = "The caller knows no such message."),
        (status = 409, description = "It was deleted.")))]
async fn put_message(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<MessageId>,
    Json(change): Json<EditMessage>,
) -> Result<Answer<MessageAnswer>> {
    Ok(Answer(edit::edit(&rest, &caller, id, change).await?.into()))
}

/// Take one's message back: what it said is destroyed.
#[utoipa::path(delete, path = "/messages/{id}", tag = "messages", operation_id = "deleteMessage",
    params(("id" = MessageId, Path)),
    extensions(("x-fails" = json!(fails(["message"], [Reason::ChatLeft, Reason::NotSender])))),
    responses((status = 204, description = "It is gone, perhaps since long."),
        (status = 403, description = "Somebody else sent it, or the caller has left this chat."),
        (status = 404, description = "The caller knows no such message.")))]
async fn delete_message(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<MessageId>,
) -> Result<StatusCode> {
    delete::delete(&rest, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// React to a message.
#[utoipa::path(post, path = "/messages/{id}/reactions", tag = "messages", operation_id = "addReaction",
    params(("id" = MessageId, Path)),
    request_body = React,
    extensions(("x-fails" = json!(fails(["message"], [Reason::ChatLeft, Reason::NotContacts, Reason::Unreachable, Reason::MessageDeleted, Reason::SystemMessage, Reason::TooManyReactions])))),
    responses((status = 201, body = ReactionAnswer), (status = 200, body = ReactionAnswer, description = "It was there."),
        (status = 403, description = "The caller has left this chat, or they are not contacts any more."),
        (status = 404, description = "The caller knows no such message."),
        (status = 409, description = "It was deleted, the system said it, or the caller has put enough on it.")))]
async fn post_reaction(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<MessageId>,
    Json(ask): Json<React>,
) -> Result<(StatusCode, Answer<ReactionAnswer>)> {
    let (reaction, is_new) = react::add(&rest, &caller, id, ask.emoji).await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Answer(reaction.into())))
}

/// Take a reaction back. It is named by its id, by its emoji, or by the milliseconds of about when it was made: then the caller's
/// only one on this message is meant, or else the nearest.
#[utoipa::path(delete, path = "/messages/{id}/reactions/{reaction}", tag = "messages", operation_id = "removeReaction",
    params(("id" = MessageId, Path), ("reaction" = String, Path, example = "019a0000-0000-7000-8000-000000004eac")),
    extensions(("x-fails" = json!(fails(["message", "reaction"], [Reason::ChatLeft, Reason::NotYourReaction])))),
    responses((status = 204), (status = 403, description = "It is somebody else's, or the caller has left this chat."),
        (status = 404, description = "The caller knows no such message, or it has no such reaction.")))]
async fn delete_reaction(
    State(rest): State<Rest>,
    caller: Caller,
    Path((message, reaction)): Path<(String, String)>,
) -> Result<StatusCode> {
    let message = message
        .parse()
        .map_err(|_| Error::invalid("id", "must be a UUID"))?;
    react::remove(&rest, &caller, Some(message), which(reaction)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The same as `DELETE /messages/{id}/reactions/{reaction}`, for who knows the reaction's id.
#[utoipa::path(delete, path = "/messages/reactions/{reaction}", tag = "messages", operation_id = "removeReactionByOldPath",
    params(("reaction" = String, Path, example = "019a0000-0000-7000-8000-000000004eac")),
    extensions(("x-fails" = json!(fails(["reaction"], [Reason::ChatLeft, Reason::NotYourReaction])))),
    responses((status = 204), (status = 403, description = "It is somebody else's, or the caller has left this chat."),
        (status = 404, description = "The caller knows no such reaction.")))]
async fn delete_reaction_anywhere(
    State(rest): State<Rest>,
    caller: Caller,
    Path(reaction): Path<String>,
) -> Result<StatusCode> {
    react::remove(&rest, &caller, None, which(reaction)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn which(reaction: String) -> Result<ReactionRef> {
    ReactionRef::try_from(reaction).map_err(|_| Error::NotFound("reaction"))
}
