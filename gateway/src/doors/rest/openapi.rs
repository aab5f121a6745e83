//! The document of the REST interface, made from the routes themselves.

use axum::{Router, routing::get};
use http::header;
use shared::problem::{Code, Problem};
use utoipa::{
    OpenApi,
    openapi::{
        ContentBuilder, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Messenger",
        description = "Accounts, chats and messages. Every failure has a body of the schema `Problem`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/", description = "This server")),
    components(schemas(Problem)),
    security(("accessToken" = [])),
    tags(
        (name = "auth", description = "Registering, logging in and out"),
        (name = "users", description = "Profiles, and finding people"),
        (name = "contacts", description = "Who knows whom"),
        (name = "chats", description = "Conversations"),
        (name = "messages", description = "Sending and reading"),
        (name = "media", description = "Images"),
        (name = "health", description = "For probes"),
    )
)]
struct Document;

/// What the routes are added to.
pub(super) fn base() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The whole document: the routes, with what can go wrong at each of them.
pub fn document() -> utoipa::openapi::OpenApi {
    finished(super::routes().into_openapi())
}

pub(super) fn finished(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "The `accessToken` of registering, logging in or refreshing.",
        ));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("accessToken", SecurityScheme::Http(bearer.build()));
    for (path, item) in &mut document.paths.paths {
        // A probe takes no input, needs nobody, and answers whatever happens.
        if path.contains("/health") {
            continue;
        }
        for operation in operations(item) {
            document_failures(operation);
        }
    }
    document
}

/// All operations of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}

fn document_failures(operation: &mut Operation) {
    let is_public = operation.security.as_ref().is_some_and(|schemes| {
        schemes
            .iter()
            .any(|scheme| *scheme == utoipa::openapi::security::SecurityRequirement::default())
    });
    let mut codes = vec![
        Code::ValidationError,
        Code::RateLimitExceeded,
        Code::InternalError,
        Code::ServiceUnavailable,
    ];
    if !is_public {
        codes.push(Code::Unauthorized);
    }
    if operation.request_body.is_some() {
        codes.extend([Code::PayloadTooLarge, Code::UnsupportedMediaType]);
    }
    let responses = &mut operation.responses.responses;
    for code in codes {
        responses
            .entry(code.status().to_string())
            .or_insert_with(|| RefOr::T(failure(code.title())));
    }
    // What a handler documented by its sentence alone has the same body.
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && response.content.is_empty()
        {
            *response = failure(&response.description);
        }
    }
}

fn failure(description: &str) -> Response {
    let body = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", body)
        .build()
}

pub(super) fn router(document: &utoipa::openapi::OpenApi) -> Router {
    let text: &'static str = document
        .to_pretty_json()
        .expect("the document can be written")
        .leak();
    Router::new().route(
        "/openapi.json",
        get(move || async move { ([(header::CONTENT_TYPE, "application/json")], text) }),
    )
}
