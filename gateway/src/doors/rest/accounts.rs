//! Profiles.

use axum::{Json as Answer, extract::State};
use shared::{UserId, account::UpdateProfile, problem::Reason};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Rest,
    extract::{Json, PathId},
    form::Form,
    openapi::fails,
    wrapped::UserAnswer,
};
use crate::{
    error::Result,
    features::{
        Caller,
        accounts::{avatar, profile, update},
        media,
    },
};

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new()
        .routes(routes!(get_me, put_me))
        .routes(routes!(patch_avatar))
        .routes(routes!(get_user))
}

/// The caller's own profile.
#[utoipa::path(get, path = "/users/me", tag = "users", operation_id = "getMe",
    responses((status = 200, body = UserAnswer)))]
async fn get_me(State(rest): State<Rest>, caller: Caller) -> Result<Answer<UserAnswer>> {
    Ok(Answer(
        profile::profile(&rest, &caller, caller.user).await?.into(),
    ))
}

/// Change the caller's own name and status.
#[utoipa::path(put, path = "/users/me", tag = "users", operation_id = "updateMe",
    request_body = UpdateProfile,
    responses((status = 200, body = UserAnswer)))]
async fn put_me(
    State(rest): State<Rest>,
    caller: Caller,
    Json(change): Json<UpdateProfile>,
) -> Result<Answer<UserAnswer>> {
    Ok(Answer(update::update(&rest, &caller, change).await?.into()))
}

/// Change the caller's picture.
///
/// JPEG, PNG, GIF or WebP by content, at most 10 MiB and 4096 pixels a side. It is cut to a square of at most 300 pixels,
/// upright and without anything that the camera added.
#[utoipa::path(patch, path = "/users/me/avatar", tag = "users", operation_id = "changeAvatar",
    request_body(content = AvatarForm, content_type = "multipart/form-data"),
    extensions(("x-fails" = json!(fails([], [Reason::Busy])))),
    responses((status = 200, body = UserAnswer),
        (status = 400, description = "No image, a damaged one, or more pixels than we take."),
        (status = 413, description = "The image is larger than 10 MiB."),
        (status = 415, description = "Not a form, or not an image of these four kinds."),
        (status = 503, description = "The image cannot be stored at this moment.")))]
async fn patch_avatar(
    State(rest): State<Rest>,
    caller: Caller,
    mut form: Form<1>,
) -> Result<Answer<UserAnswer>> {
    let place = media::admit(&rest, &caller, form.announced()).await?;
    let file = form.only_file("avatar").await?;
    Ok(Answer(avatar::change(&rest, &caller, place, file).await?.into()))
}

/// A picture of a person or a group.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes the form")]
pub(super) struct AvatarForm {
    #[schema(value_type = String, format = Binary)]
    avatar: Vec<u8>,
}

/// The profile of a contact, or of somebody in a common chat.
#[utoipa::path(get, path = "/users/{id}", tag = "users", operation_id = "getUser",
    params(("id" = UserId, Path)),
    extensions(("x-fails" = json!(fails(["user"], [Reason::ProfileHidden])))),
    responses(
        (status = 200, body = UserAnswer),
        (status = 403, description = "Neither a contact nor in a common chat."),
        (status = 404, description = "Nobody has this id.")))]
async fn get_user(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<UserId>,
) -> Result<Answer<UserAnswer>> {
    Ok(Answer(profile::profile(&rest, &caller, id).await?.into()))
}
