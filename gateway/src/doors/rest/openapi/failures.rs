//! What can go wrong at each route, with an example of each.

use serde_json::json;
use shared::problem::{Code, Problem, Reason};
use utoipa::openapi::{
    Components, Ref, RefOr, Response,
    content::ContentBuilder,
    example::ExampleBuilder,
    header::HeaderBuilder,
    path::{Operation, Parameter, ParameterIn},
    schema::{ObjectBuilder, Type},
    security::SecurityRequirement,
};

use super::{body_of, examples, parameters};
use crate::{
    doors::rest::{extract, form},
    error::Error,
    features::media::Refused,
};

/// Where a route says what can go wrong at it.
const SAID: &str = "x-fails";
/// The id of the request in all examples.
const REQUEST_ID: &str = "019aa62f-9b2d-7c54-8d1e-5f0c2a9b7e31";

/// What can go wrong at a route, besides what can go wrong at all: things that may not be there, and finer reasons.
pub fn fails<const M: usize, const R: usize>(
    missing: [&'static str; M],
    reasons: [Reason; R],
) -> Vec<Problem> {
    let missing = missing.map(|what| Error::NotFound(what).problem());
    let reasons = reasons.map(|reason| match reason.code() {
        Code::RateLimitExceeded => Problem {
            retry_after: Some(2),
            ..reason.into()
        },
        _ => reason.into(),
    });
    missing.into_iter().chain(reasons).collect()
}

/// Say of an operation what can go wrong.
pub(super) fn document(path: &str, operation: &mut Operation, components: &mut Components) {
    let mut extensions = operation.extensions.take().unwrap_or_default();
    let said = extensions.remove(SAID).unwrap_or_else(|| json!([]));
    let said: Vec<Problem> = serde_json::from_value(said).expect("`fails` wrote it");
    let instance = instance(path, operation);
    let mut add = |operation: &mut Operation, problem: Problem| {
        let name = show(&problem, &instance, components);
        refer(operation, &problem, &name);
    };
    for problem in general(operation).into_iter().chain(said) {
        add(operation, problem);
    }
    // What a handler documents by its sentence alone has the same body.
    let responses = operation.responses.responses.iter();
    let bare = responses.filter_map(|(status, response)| match response {
        RefOr::T(response) if response.content.is_empty() => status.parse().ok(),
        _ => None,
    });
    for status in bare.filter(|status| *status >= 400).collect::<Vec<u16>>() {
        let problem = Problem {
            status,
            status_code: status,
            ..Code::of_status(status).into()
        };
        add(operation, problem);
    }
}

/// What can go wrong wherever something is asked: who that is, what they send, and how we are.
fn general(operation: &Operation) -> Vec<Problem> {
    use Reason::{RateExceeded, SessionEnded, TokenExpired, TokenInvalid, TokenMissing};
    let schemes = operation.security.iter().flatten();
    let is_public = schemes
        .into_iter()
        .any(|scheme| *scheme == SecurityRequirement::default());
    let mut problems = match is_public {
        true => fails([], [RateExceeded]),
        false => fails(
            [],
            [
                TokenMissing,
                TokenInvalid,
                TokenExpired,
                SessionEnded,
                RateExceeded,
            ],
        ),
    };
    problems.extend(invalid(operation));
    if let Some(body) = body_of(operation) {
        let errors: &[Error] = match body.content.contains_key("multipart/form-data") {
            true => &[
                form::too_large(),
                form::no_form(),
                Refused::Unsupported.into(),
                Refused::TooLarge.into(),
            ],
            false => &[extract::too_large(), extract::no_json()],
        };
        problems.extend(errors.iter().map(Error::problem));
    }
    problems.extend([Error::internal("").problem(), Error::unavailable("").problem()]);
    problems
}

/// What may be wrong with the request itself, if there is anything in it.
fn invalid(operation: &Operation) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(body) = body_of(operation) {
        let schemas = body.content.values().filter_map(|content| match content {
            RefOr::T(content) => content.schema.as_ref(),
            RefOr::Ref(_) => None,
        });
        let refusals = schemas.filter_map(examples::asked).map(|asked| asked.refusal);
        problems.extend(refusals);
    }
    if problems.is_empty() {
        problems.extend(parameters(operation).last().map(misfit));
    }
    problems
}

fn misfit(parameter: &Parameter) -> Problem {
    let is_id = parameter
        .schema
        .as_ref()
        .is_some_and(|schema| examples::id(schema).is_some());
    match parameter.parameter_in {
        ParameterIn::Path if is_id => Error::invalid("id", "must be a UUID").problem(),
        ParameterIn::Query if parameter.name == "limit" => {
            Error::invalid("limit", "must be at least 1").problem()
        }
        _ => Code::ValidationError.into(),
    }
}

/// The path that such a request asks for.
fn instance(path: &str, operation: &Operation) -> String {
    parameters(operation).fold(path.to_owned(), |path, parameter| {
        let example = &json!(parameter)["example"];
        path.replace(
            &format!("{{{}}}", parameter.name),
            example.as_str().unwrap_or_default(),
        )
    })
}

/// An example of this problem, the same one wherever it can happen: its name.
fn show(problem: &Problem, instance: &str, components: &mut Components) -> String {
    let code = problem.reason.map_or(json!(problem.code), |reason| json!(reason));
    let code = code.as_str().unwrap_or_default();
    // One code has several sentences where it is about several things.
    let names = (1..).map(|number| match number {
        1 => code.to_owned(),
        number => format!("{code}_{number}"),
    });
    for name in names {
        let example = components.examples.entry(name.clone()).or_insert_with(|| {
            let value = Problem {
                instance: Some(instance.to_owned()),
                request_id: Some(REQUEST_ID.to_owned()),
                ..problem.clone()
            };
            let example = ExampleBuilder::new().summary(problem.message.clone());
            example.value(Some(json!(value))).into()
        });
        let RefOr::T(example) = example else { continue };
        let shown = example.value.as_ref();
        if shown
            .is_some_and(|shown| shown["message"] == *problem.message && shown["status"] == problem.status)
        {
            return name;
        }
    }
    unreachable!("there is always one more number")
}

/// One more thing that can go wrong at an operation, and its example.
fn refer(operation: &mut Operation, problem: &Problem, name: &str) {
    let responses = &mut operation.responses.responses;
    let response = responses
        .entry(problem.status.to_string())
        .or_insert_with(|| RefOr::T(Response::new("")));
    let RefOr::T(response) = response else { return };
    if response.description.is_empty() {
        problem.code.title().clone_into(&mut response.description);
    }
    add_headers(response, problem.code);
    let body = response.content.entry("application/problem+json".to_owned());
    let body = body.or_insert_with(|| {
        let schema = Ref::from_schema_name("Problem");
        RefOr::T(ContentBuilder::new().schema(Some(schema)).build())
    });
    if let RefOr::T(body) = body {
        let example = Ref::new(format!("#/components/examples/{name}"));
        body.examples.insert(name.to_owned(), RefOr::Ref(example));
    }
}

/// What such an answer says besides its body.
fn add_headers(response: &mut Response, code: Code) {
    let (name, kind, description) = match code {
        Code::RateLimitExceeded | Code::ServiceUnavailable => (
            "Retry-After",
            Type::Integer,
            "Seconds until it is worth trying again.",
        ),
        Code::Unauthorized => ("WWW-Authenticate", Type::String, "`Bearer`"),
        _ => return,
    };
    let schema = ObjectBuilder::new().schema_type(kind).build();
    let header = HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(description));
    response.headers.insert(name.to_owned(), RefOr::T(header.build()));
}
