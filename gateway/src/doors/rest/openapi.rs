//! The document of the REST interface, made from the routes themselves.

mod examples;
mod failures;

use serde_json::Value;
use shared::{health::State, problem::Problem};
use utoipa::{
    OpenApi,
    openapi::{
        Components, Content, RefOr, Response, Schema,
        path::{Operation, Parameter, ParameterBuilder, PathItem},
        request_body::RequestBody,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

pub(super) use self::failures::fails;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Messenger",
        description = "Accounts, chats and messages. Every failure has a body of the schema `Problem`, and every answer says in \
            `X-Request-Id` under which id the logs know it. What is told live over Socket.IO is in [`/realtime.json`](/realtime.json).",
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

/// The whole document: the routes, with what can go wrong at each of them, and examples.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = super::routes().into_openapi();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "The `accessToken` of registering, logging in or refreshing.",
        ));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("accessToken", SecurityScheme::Http(bearer.build()));
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            if path.starts_with("/api/health") {
                // The same handler as without `/api`; ids are given once.
                operation.operation_id = operation.operation_id.take().map(|id| format!("{id}UnderApi"));
            }
            name_parameters(operation);
            // A probe takes no input, needs nobody, and answers whatever happens.
            if !path.contains("/health") {
                failures::document(path, operation, components);
            }
            show_bodies(operation, components);
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

fn parameters(operation: &Operation) -> impl Iterator<Item = &Parameter> {
    operation.parameters.iter().flatten().filter_map(written_out)
}

fn body_of(operation: &Operation) -> Option<&RequestBody> {
    operation.request_body.as_ref().and_then(written_out)
}

/// Only schemas are referred to; everything else stands where it is used.
fn written_out<T>(part: &RefOr<T>) -> Option<&T> {
    match part {
        RefOr::T(part) => Some(part),
        RefOr::Ref(_) => None,
    }
}

/// Ids in paths are shown as those that the examples are about.
fn name_parameters(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some(id) = parameter.schema.as_ref().and_then(examples::id)
        {
            *parameter = ParameterBuilder::from(parameter.clone())
                .example(Some(id))
                .build();
        }
    }
}

/// Show what is asked and answered, and give each success a sentence.
fn show_bodies(operation: &mut Operation, components: &Components) {
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        for content in body.content.values_mut() {
            show(content, |schema| examples::asked(schema).map(|asked| asked.good));
        }
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let state = match status.starts_with('2') {
            true => State::Ok,
            false => State::Error,
        };
        for content in response.content.values_mut() {
            show(content, |schema| examples::answered(schema, state));
        }
        if response.description.is_empty() {
            response.description = sentence_for(response, components);
        }
    }
}

fn show(content: &mut RefOr<Content>, example: impl FnOnce(&RefOr<Schema>) -> Option<Value>) {
    if let RefOr::T(content) = content
        && content.examples.is_empty()
    {
        content.example = content.schema.as_ref().and_then(example);
    }
}

/// What its schema says of it.
fn sentence_for(response: &Response, components: &Components) -> String {
    let mut contents = response.content.values().filter_map(written_out);
    let schema = contents.find_map(|content| match &content.schema {
        Some(RefOr::Ref(reference)) => components.schemas.get(examples::name_of(reference)),
        _ => None,
    });
    let description = match schema {
        Some(RefOr::T(Schema::Object(object))) => object.description.clone(),
        Some(RefOr::T(Schema::AllOf(all))) => all.description.clone(),
        _ => None,
    };
    description.unwrap_or_else(|| "It is done.".to_owned())
}
