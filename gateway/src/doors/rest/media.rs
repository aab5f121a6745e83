//! Images: uploading them, and fetching them by addresses that never change and cannot be guessed.

use axum::{
    Json as Answer,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use shared::{AttachmentId, media::Attachment, problem::Reason};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Rest, extract::PathId, form::Form, openapi::fails, range, wrapped::AttachmentAnswer};
use crate::{
    error::{Error, Result},
    features::{
        Caller,
        media::{
            IMAGES_MAX,
            blobs::Found,
            discard::discard,
            fetch::{self, FOR_EVER},
            find::find,
            upload::Upload,
        },
    },
};

/// Whatever it is, it does nothing but show.
const SHOW_ONLY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// The client's own name for the field, and those of other clients.
const FIELDS: [&str; 3] = ["image", "images", "file"];

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new()
        .routes(routes!(post_upload))
        .routes(routes!(get_attachment, delete_attachment))
}

pub(super) fn images() -> OpenApiRouter<Rest> {
    OpenApiRouter::new().routes(routes!(get_image))
}

/// Images in any of three fields, and in each as many as there are.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form")]
struct ImagesForm {
    #[schema(value_type = Option<String>, format = Binary)]
    image: Option<Vec<u8>>,
    #[schema(value_type = Option<Vec<String>>, format = Binary)]
    images: Option<Vec<Vec<u8>>>,
    #[schema(value_type = Option<String>, format = Binary)]
    file: Option<Vec<u8>>,
}

/// What was uploaded: the first image bare and as `attachment`, and all of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UploadAnswer {
    #[serde(flatten)]
    bare: Attachment,
    attachment: Attachment,
    attachments: Vec<Attachment>,
}

impl UploadAnswer {
    /// Nothing, if there is no image.
    pub(super) fn of(attachments: Vec<Attachment>) -> Option<Self> {
        let first = attachments.first()?.clone();
        Some(Self {
            bare: first.clone(),
            attachment: first,
            attachments,
        })
    }
}

/// Upload images for a message.
///
/// JPEG, PNG, GIF or WebP by content, each at most 10 MiB and 4096 pixels a side, and at most five at once: all of them are taken, or
/// none. Each is cleaned of everything but its picture and kept in three sizes. It belongs to its uploader until a message uses it,
/// and is forgotten after a day if none does.
#[utoipa::path(post, path = "/attachments/upload", tag = "media", operation_id = "uploadImages",
    request_body(content = ImagesForm, content_type = "multipart/form-data"),
    extensions(("x-fails" = json!(fails([], [Reason::Busy])))),
    responses((status = 201, body = UploadAnswer),
        (status = 400, description = "No image, too many, a damaged one, more pixels than we take, or too long an animation."),
        (status = 413, description = "An image is larger than 10 MiB."),
        (status = 415, description = "Not a form, or not an image of these four kinds."),
        (status = 429, description = "Ten images a minute, and no more at once than there is room for."),
        (status = 503, description = "The images cannot be stored at this moment.")))]
async fn post_upload(
    State(rest): State<Rest>,
    caller: Caller,
    mut form: Form<IMAGES_MAX>,
) -> Result<(StatusCode, Answer<UploadAnswer>)> {
    let mut upload = Upload::begin(&rest, &caller, form.announced()).await?;
    while let Some(file) = form.next_file(&FIELDS).await? {
        upload.add(file.name.as_deref(), file.bytes).await?;
    }
    let answer = UploadAnswer::of(upload.finish().await?);
    let answer = answer.ok_or_else(|| Error::invalid(FIELDS[0], "is required"))?;
    Ok((StatusCode::CREATED, Answer(answer)))
}

/// What is known of an uploaded image: for its uploader, and once it is in a message, for whoever may read that.
#[utoipa::path(get, path = "/attachments/{id}", tag = "media", operation_id = "getAttachment",
    params(("id" = AttachmentId, Path)),
    extensions(("x-fails" = json!(fails(["image"], [Reason::ChatLeft])))),
    responses((status = 200, body = AttachmentAnswer),
        (status = 403, description = "The caller has left the chat that it is in."),
        (status = 404, description = "The caller knows no such image.")))]
async fn get_attachment(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<AttachmentId>,
) -> Result<Answer<AttachmentAnswer>> {
    Ok(Answer(find(&rest, &caller, id).await?.into()))
}

/// Delete an uploaded image that is in no message.
#[utoipa::path(delete, path = "/attachments/{id}", tag = "media", operation_id = "deleteAttachment",
    params(("id" = AttachmentId, Path)),
    extensions(("x-fails" = json!(fails(["image"], [Reason::ChatLeft, Reason::NotUploader, Reason::AttachmentUsed])))),
    responses((status = 204),
        (status = 403, description = "Somebody else uploaded it, or the caller has left the chat that it is in."),
        (status = 404, description = "The caller knows no such image."),
        (status = 409, description = "It is in a message: delete that.")))]
async fn delete_attachment(
    State(rest): State<Rest>,
    caller: Caller,
    PathId(id): PathId<AttachmentId>,
) -> Result<StatusCode> {
    discard(&rest, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An image, or a part of it.
///
/// What is kept under an address never changes. HEAD works, too, and so do `Range`, `If-Range` and `If-None-Match`.
#[utoipa::path(get, path = "/media/{key}", tag = "media", operation_id = "getImage", security(()),
    params(("key" = String, Path, example = "9hX2mQ7Lr0aVtY4nKc8wZApB3dEfGhJk.jpg"), ("Range" = Option<String>, Header, example = "bytes=0-1023"),
        ("If-Range" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
    extensions(("x-fails" = json!(fails(["image"], [])))),
    responses((status = 200, content_type = "image/*", description = "The image."),
        (status = 206, content_type = "image/*", description = "The part of it that was asked for."),
        (status = 304, description = "The client has it already."),
        (status = 404, description = "There is no image at this address."),
        (status = 416, description = "It ends before that part.")))]
async fn get_image(
    State(rest): State<Rest>,
    Path(key): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let kind = fetch::kind_of(&key)?;
    let tag = HeaderValue::from_str(&format!("\"{key}\"")).map_err(Error::internal)?;
    if range::knows(&headers, &tag) {
        return Ok(dressed(StatusCode::NOT_MODIFIED.into_response(), tag));
    }
    let mut answer = if method == Method::HEAD {
        let mut answer = StatusCode::OK.into_response();
        let size = fetch::size(&rest, &key).await?;
        answer.headers_mut().insert(header::CONTENT_LENGTH, size.into());
        answer
    } else {
        match fetch::fetch(&rest, &key, range::asked(&headers, &tag)).await? {
            Found::Nothing => return Err(Error::NotFound("image")),
            Found::NoSuchPart => return range::beyond_the_end(fetch::size(&rest, &key).await?),
            Found::Blob(blob) => {
                let part = blob
                    .part
                    .as_deref()
                    .and_then(|part| HeaderValue::from_str(part).ok());
                let length = blob.length;
                let mut answer = Body::from_stream(blob.into_stream()).into_response();
                answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                if let Some(part) = part {
                    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
                    answer.headers_mut().insert(header::CONTENT_RANGE, part);
                }
                answer
            }
        }
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind.mime()));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(dressed(answer, tag))
}

/// What every answer about an image says: keep it, and let it do nothing.
fn dressed(mut answer: Response, tag: HeaderValue) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
    headers.insert(header::CONTENT_SECURITY_POLICY, SHOW_ONLY);
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    answer
}
