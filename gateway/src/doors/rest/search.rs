//! Finding people.

use axum::{Json as Answer, extract::State};
use shared::account::{FindPeople, PeopleFound};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Rest, extract::Query};
use crate::{
    error::Result,
    features::{Caller, search::people},
};

pub(super) fn router() -> OpenApiRouter<Rest> {
    OpenApiRouter::new().routes(routes!(get_people))
}

/// Find people by a part of their user name.
#[utoipa::path(get, path = "/users/search", tag = "users", operation_id = "findPeople",
    params(FindPeople),
    responses((status = 200, body = PeopleFound)))]
async fn get_people(
    State(rest): State<Rest>,
    caller: Caller,
    Query(ask): Query<FindPeople>,
) -> Result<Answer<PeopleFound>> {
    Ok(Answer(people::people(&rest, &caller, ask).await?))
}
