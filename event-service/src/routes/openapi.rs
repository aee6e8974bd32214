//! Parts of the API's description that all calls share.

use shared::http::ErrorBody;
use utoipa::{
    PartialSchema,
    openapi::{
        Components, Content, OpenApi, Ref, ResponseBuilder, SecurityRequirement, ServerBuilder,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

/// Errors that any call may answer, with their descriptions.
const ERRORS: [(&str, &str); 4] = [
    ("400", "`INVALID_REQUEST`: `details` names every faulty field"),
    ("401", "`UNAUTHENTICATED`: the operator token is missing or wrong"),
    ("429", "`RATE_LIMITED`: too many requests; try again after `Retry-After`"),
    ("503", "`UPSTREAM_UNAVAILABLE`: the database or the bus is unreachable"),
];

/// Adds the server, the operator token and the common errors.
pub(super) fn complete(openapi: &mut OpenApi) {
    let server = ServerBuilder::new().url("/").description(Some("This service"));
    openapi.servers = Some(vec![server.build()]);
    openapi.security =
        Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("operatorToken", [])]);
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`OPERATOR_TOKEN`, not needed with `APP_ENV=local`"));
    let components = openapi.components.get_or_insert_with(Components::new);
    components.add_security_scheme("operatorToken", SecurityScheme::Http(token.build()));
    components.schemas.entry("ErrorBody".to_owned()).or_insert_with(ErrorBody::schema);
    for operation in openapi.paths.paths.values_mut().flat_map(operations) {
        for (status, description) in ERRORS {
            let content = Content::new(Some(Ref::from_schema_name("ErrorBody")));
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/json", content);
            let responses = &mut operation.responses.responses;
            responses.entry(status.to_owned()).or_insert_with(|| response.build().into());
        }
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = path;
    [get, put, post, delete, patch].into_iter().filter_map(Option::as_mut)
}
