//! Contacts and requests.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use shared::{
    ContactId,
    contact::{BlockState, ContactRequests, Contacts, RequestContact},
    problem::Reason,
};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Rest,
    extract::{Json, PathId},
    openapi::fails,
    wrapped::{ContactAnswer, RequestAnswer},
};
use crate::{
    error::Result,
    features::{
        Caller,
        contacts::{accept, block, list, reject, remove, request},
    },
};

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new()
        .routes(routes!(get_contacts, post_contacts))
        .routes(routes!(get_pending))
        .routes(routes!(post_request))
        .routes(routes!(post_accept, put_accept))
        .routes(routes!(post_reject, put_reject))
        .routes(routes!(delete_contact))
        .routes(routes!(post_block, delete_block))
}

/// The caller's contacts. The `id` of each is the direct chat with them.
#[utoipa::path(get, path = "/contacts", tag = "contacts", operation_id = "listContacts",
    responses((status = 200, body = Contacts)))]
async fn get_contacts(State(rest): State<Rest>, caller: Caller) -> Result<Answer<Contacts>> {
    Ok(Answer(list::contacts(&rest, &caller).await?))
}

/// Requests that wait for the caller's answer.
#[utoipa::path(get, path = "/contacts/pending", tag = "contacts", operation_id = "listContactRequests",
    responses((status = 200, body = ContactRequests)))]
async fn get_pending(State(rest): State<Rest>, caller: Caller) -> Result<Answer<ContactRequests>> {
    Ok(Answer(list::pending(&rest, &caller).await?))
}

/// Ask somebody to become a contact.
#[utoipa::path(post, path = "/contacts/request", tag = "contacts", operation_id = "requestContact",
    request_body = RequestContact,
    extensions(("x-fails" = json!(fails(["user"], [Reason::Unreachable, Reason::AlreadyContacts, Reason::RequestPending])))),
    responses((status = 201, body = RequestAnswer), (status = 403, description = "One of them has blocked the other."),
        (status = 404, description = "Nobody has this id."),
        (status = 409, description = "They are contacts already, or a request waits for an answer.")))]
async fn post_request(
    State(rest): State<Rest>,
    caller: Caller,
    Json(ask): Json<RequestContact>,
) -> Result<(StatusCode, Answer<RequestAnswer>)> {
    Ok((
        StatusCode::CREATED,
        Answer(request::request(&rest, &caller, ask).await?.into()),
    ))
}

/// The same as `POST /contacts/request`.
#[utoipa::path(post, path = "/contacts", tag = "contacts", operation_id = "requestContactFromProfile",
    request_body = RequestContact,
    extensions(("x-fails" = json!(fails(["user"], [Reason::Unreachable, Reason::AlreadyContacts, Reason::RequestPending])))),
    responses((status = 201, body = RequestAnswer), (status = 403, description = "One of them has blocked the other."),
        (status = 404, description = "Nobody has this id."),
        (status = 409, description = "They are contacts already, or a request waits for an answer.")))]
async fn post_contacts(
    state: State<Rest>,
    caller: Caller,
    ask: Json<RequestContact>,
) -> Result<(StatusCode, Answer<RequestAnswer>)> {
    post_request(state, caller, ask).await
}

/// Accept a request.
#[utoipa::path(post, path = "/contacts/{id}/accept", tag = "contacts", operation_id = "acceptContact",
    params(("id" = ContactId, Path)),
    extensions(("x-fails" = json!(fails(["request"], [Reason::OwnRequest])))),
    responses((status = 200, body = ContactAnswer), (status = 403, description = "The caller sent this request."),
        (status = 404, description = "There is no such request for the caller.")))]
async fn post_accept(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<ContactId>,
) -> Result<Answer<ContactAnswer>> {
    Ok(Answer(accept::accept(&rest, &caller, id).await?.into()))
}

/// The same as `POST /contacts/{id}/accept`.
#[utoipa::path(put, path = "/contacts/{id}/accept", tag = "contacts", operation_id = "acceptContactByPut",
    params(("id" = ContactId, Path)),
    extensions(("x-fails" = json!(fails(["request"], [Reason::OwnRequest])))),
    responses((status = 200, body = ContactAnswer), (status = 403, description = "The caller sent this request."),
        (status = 404, description = "There is no such request for the caller.")))]
async fn put_accept(
    state: State<Rest>,
    caller: Caller,
    id: PathId<ContactId>,
) -> Result<Answer<ContactAnswer>> {
    post_accept(state, caller, id).await
}

/// Reject a request, or withdraw one's own.
#[utoipa::path(post, path = "/contacts/{id}/reject", tag = "contacts", operation_id = "rejectContact",
    params(("id" = ContactId, Path)),
    extensions(("x-fails" = json!(fails(["request"], [Reason::AlreadyContacts])))),
    responses((status = 200, body = RequestAnswer), (status = 404, description = "There is no such request."),
        (status = 409, description = "It has been accepted already.")))]
async fn post_reject(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<ContactId>,
) -> Result<Answer<RequestAnswer>> {
    Ok(Answer(reject::reject(&rest, &caller, id).await?.into()))
}

/// The same as `POST /contacts/{id}/reject`.
#[utoipa::path(put, path = "/contacts/{id}/reject", tag = "contacts", operation_id = "rejectContactByPut",
    params(("id" = ContactId, Path)),
    extensions(("x-fails" = json!(fails(["request"], [Reason::AlreadyContacts])))),
    responses((status = 200, body = RequestAnswer), (status = 404, description = "There is no such request."),
        (status = 409, description = "It has been accepted already.")))]
async fn put_reject(
    state: State<Rest>,
    caller: Caller,
    id: PathId<ContactId>,
) -> Result<Answer<RequestAnswer>> {
    post_reject(state, caller, id).await
}

/// Stop being contacts, on both sides. The chat stays readable.
#[utoipa::path(delete, path = "/contacts/{id}", tag = "contacts", operation_id = "removeContact",
    params(("id" = Uuid, Path, description = "The relation, the other person, or the direct chat with them.")),
    extensions(("x-fails" = json!(fails(["contact"], [])))),
    responses((status = 204), (status = 404, description = "The caller has no such contact.")))]
async fn delete_contact(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<Uuid>,
) -> Result<StatusCode> {
    remove::remove(&rest, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Be left alone by somebody: no presence, no requests, no direct messages. They are not told.
#[utoipa::path(post, path = "/contacts/{id}/block", tag = "contacts", operation_id = "blockContact",
    params(("id" = Uuid, Path, description = "The relation, the other person, or the direct chat with them.")),
    extensions(("x-fails" = json!(fails(["user"], [])))),
    responses((status = 200, body = BlockState), (status = 404, description = "Nobody has this id.")))]
async fn post_block(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<Uuid>,
) -> Result<Answer<BlockState>> {
    Ok(Answer(block::block(&rest, &caller, id).await?))
}

/// Undo a block. Contacts are contacts again.
#[utoipa::path(delete, path = "/contacts/{id}/block", tag = "contacts", operation_id = "unblockContact",
    params(("id" = Uuid, Path, description = "The relation, the other person, or the direct chat with them.")),
    extensions(("x-fails" = json!(fails(["user"], [])))),
    responses((status = 200, body = BlockState), (status = 404, description = "Nobody has this id.")))]
async fn delete_block(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<Uuid>,
) -> Result<Answer<BlockState>> {
    Ok(Answer(block::unblock(&rest, &caller, id).await?))
}
