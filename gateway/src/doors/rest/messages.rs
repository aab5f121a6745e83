//! Messages.

use axum::{
    Json as Answer,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use shared::{
    ChatId,
    message::{MessagePage, ReadHistory, SendMessage},
    text::ClientKey,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Rest,
    extract::{Json, PathId, Query},
    flushed,
    wrapped::MessageAnswer,
};
use crate::{
    error::{Error, Result},
    features::{
        Caller,
        messages::{history, send},
    },
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new().routes(routes!(get_messages, post_message))
}

/// A page of messages, the oldest first: the newest, or those before `cursor`.
#[utoipa::path(get, path = "/chats/{id}/messages", tag = "messages", operation_id = "readHistory",
    params(("id" = ChatId, Path), ReadHistory),
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
