//! Chats.

use axum::{
    Json as Answer,
    extract::{Path, State},
};
use http::StatusCode;
use shared::{
    ChatId, UserId,
    chat::{AddMembers, ChatPage, ListChats, RenameGroup, StartDirectChat, StartGroup},
    problem::Reason,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Rest,
    accounts::AvatarForm,
    extract::{Json, PathId, Query},
    form::Form,
    openapi::fails,
    wrapped::ChatAnswer,
};
use crate::{
    error::Result,
    features::{
        Caller,
        chats::{add_members, delete, leave, list, picture, remove_member, rename, start},
        media,
    },
};

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new()
        .routes(routes!(get_chats))
        .routes(routes!(get_chat, put_chat, delete_chat))
        .routes(routes!(get_chat_by_slug))
        .routes(routes!(post_direct))
        .routes(routes!(post_group))
        .routes(routes!(post_participants))
        .routes(routes!(delete_participant))
        .routes(routes!(post_leave))
        .routes(routes!(patch_chat_avatar))
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
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft])))),
    responses((status = 200, body = ChatAnswer), (status = 403, description = "The caller has left this chat."),
        (status = 404, description = "The caller knows no such chat.")))]
async fn get_chat(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<ChatId>,
) -> Result<Answer<ChatAnswer>> {
    Ok(Answer(list::by_id(&rest, &caller, id).await?.into()))
}

/// Rename a group.
#[utoipa::path(put, path = "/chats/{id}", tag = "chats", operation_id = "renameGroup",
    params(("id" = ChatId, Path)), request_body = RenameGroup,
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft, Reason::OnlyInGroups, Reason::NotAdmin])))),
    responses((status = 200, body = ChatAnswer),
        (status = 403, description = "The caller is neither owner nor admin, has left it, or it is a direct chat."),
        (status = 404, description = "The caller knows no such chat.")))]
async fn put_chat(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<ChatId>,
    Json(ask): Json<RenameGroup>,
) -> Result<Answer<ChatAnswer>> {
    Ok(Answer(rename::rename(&rest, &caller, id, ask).await?.into()))
}

/// Change a group's picture.
///
/// JPEG, PNG, GIF or WebP by content, at most 10 MiB and 4096 pixels a side. It is cut to a square of at most 300 pixels.
#[utoipa::path(patch, path = "/chats/{id}/avatar", tag = "chats", operation_id = "changeGroupPicture",
    params(("id" = ChatId, Path)),
    request_body(content = AvatarForm, content_type = "multipart/form-data"),
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft, Reason::OnlyInGroups, Reason::NotAdmin, Reason::Busy])))),
    responses((status = 200, body = ChatAnswer),
        (status = 400, description = "No image, a damaged one, or more pixels than we take."),
        (status = 403, description = "The caller is neither owner nor admin, has left it, or it is a direct chat."),
        (status = 404, description = "The caller knows no such chat."),
        (status = 413, description = "The image is larger than 10 MiB."),
        (status = 415, description = "Not a form, or not an image of these four kinds."),
        (status = 503, description = "The image cannot be stored at this moment.")))]
async fn patch_chat_avatar(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<ChatId>,
    mut form: Form<1>,
) -> Result<Answer<ChatAnswer>> {
    picture::may_change(&rest, &caller, id).await?;
    let place = media::admit(&rest, &caller, form.announced()).await?;
    let file = form.only_file("avatar").await?;
    Ok(Answer(
        picture::change(&rest, &caller, id, place, file).await?.into(),
    ))
}

/// Delete a group, for everybody.
#[utoipa::path(delete, path = "/chats/{id}", tag = "chats", operation_id = "deleteGroup",
    params(("id" = ChatId, Path)),
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft, Reason::OnlyInGroups, Reason::NotOwner])))),
    responses((status = 204),
        (status = 403, description = "The caller is not the owner, has left it, or it is a direct chat."),
        (status = 404, description = "The caller knows no such chat.")))]
async fn delete_chat(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<ChatId>,
) -> Result<StatusCode> {
    delete::delete(&rest, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Add people to a group.
#[utoipa::path(post, path = "/chats/{id}/participants", tag = "chats", operation_id = "addMembers",
    params(("id" = ChatId, Path)), request_body = AddMembers,
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft, Reason::OnlyInGroups, Reason::NotAdmin, Reason::NotOwner, Reason::AlreadyMember, Reason::GroupFull])))),
    responses((status = 201, body = ChatAnswer),
        (status = 403, description = "The caller is neither owner nor admin, has left it, or it is a direct chat."),
        (status = 404, description = "The caller knows no such chat."),
        (status = 409, description = "Somebody is a member already, or the group would have too many.")))]
async fn post_participants(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<ChatId>,
    Json(ask): Json<AddMembers>,
) -> Result<(StatusCode, Answer<ChatAnswer>)> {
    let chat = add_members::add_members(&rest, &caller, id, ask).await?;
    Ok((StatusCode::CREATED, Answer(chat.into())))
}

/// Remove somebody from a group.
#[utoipa::path(delete, path = "/chats/{id}/participants/{userId}", tag = "chats", operation_id = "removeMember",
    params(("id" = ChatId, Path), ("userId" = UserId, Path)),
    extensions(("x-fails" = json!(fails(["chat", "member"], [Reason::ChatLeft, Reason::OnlyInGroups, Reason::NotAdmin, Reason::OwnerStays])))),
    responses((status = 200, body = ChatAnswer),
        (status = 403, description = "The caller is neither owner nor admin, has left it, it is a direct chat, or that is the owner."),
        (status = 404, description = "The caller knows no such chat, or nobody in it has this id.")))]
async fn delete_participant(
    State(rest): State<Rest>,
    caller: Caller,
    PathId((id, user)): PathId<(ChatId, UserId)>,
) -> Result<Answer<ChatAnswer>> {
    let chat = remove_member::remove_member(&rest, &caller, id, user).await?;
    Ok(Answer(chat.into()))
}

/// Leave a group. An owner passes it on to the admin, or else the member, who has been there longest.
#[utoipa::path(post, path = "/chats/{id}/leave", tag = "chats", operation_id = "leaveGroup",
    params(("id" = ChatId, Path)),
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft, Reason::OnlyInGroups])))),
    responses((status = 204), (status = 403, description = "The caller has left it before, or it is a direct chat."),
        (status = 404, description = "The caller knows no such chat.")))]
async fn post_leave(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<ChatId>,
) -> Result<StatusCode> {
    leave::leave(&rest, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A group by its readable address.
#[utoipa::path(get, path = "/chats/slug/{slug}", tag = "chats", operation_id = "getChatBySlug",
    params(("slug" = String, Path, example = "tea-party-x7k2m9")),
    extensions(("x-fails" = json!(fails(["chat"], [Reason::ChatLeft])))),
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
    extensions(("x-fails" = json!(fails(["user"], [Reason::NotContacts])))),
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
