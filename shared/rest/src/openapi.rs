//! Parts of an OpenAPI description that are the same in every API: the answers that any call may
//! have, and the `Idempotency-Key` header.

use service::http::{ErrorBody, ErrorDetail, FieldFault};
use utoipa::{
    IntoParams, Modify, PartialSchema,
    openapi::{
        Content, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, Parameter, ParameterIn, PathItem},
    },
};

use super::api_security::{OperatorApi, UserApi};

/// The `Idempotency-Key` header of a call.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyKeyHeader {
    /// Key that the client chooses for this request and its repeats: visible ASCII characters.
    #[param(
        rename = "Idempotency-Key",
        value_type = String,
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]*$",
    )]
    pub idempotency_key: Option<String>,
}

/// The `If-Match` header of a call.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfMatchHeader {
    /// Versions that the change may apply to: entity tags such as `"5"`, the version in quotes, or
    /// `*` for any.
    #[param(rename = "If-Match", value_type = String, required = false, example = json!("\"5\""))]
    pub if_match: Option<String>,
}

/// Answers that an operation may have, if it does not describe them itself: the status, the
/// operations that have it, and the description.
const COMMON: [(&str, Applies, &str); 6] = [
    ("400", Applies::Input, "`INVALID_REQUEST`: `details` names every faulty field"),
    ("401", Applies::Identified, "`UNAUTHENTICATED`: the request does not identify its caller"),
    ("413", Applies::Bodies, "`PAYLOAD_TOO_LARGE`: the body is too large"),
    ("422", Applies::Keys, "`IDEMPOTENCY_KEY_REUSED`: the key came with another request"),
    ("429", Applies::All, "`RATE_LIMITED`: too many requests; try again after `Retry-After`"),
    (
        "503",
        Applies::All,
        "`UPSTREAM_UNAVAILABLE`: a database or service is unreachable; try again after \
         `Retry-After`",
    ),
];

/// Operations that may have an answer.
#[derive(Debug, Clone, Copy)]
enum Applies {
    /// All operations.
    All,
    /// Operations that need an identity.
    Identified,
    /// Operations with a body, query parameters or headers.
    Input,
    /// Operations with a body.
    Bodies,
    /// Operations with an `Idempotency-Key`.
    Keys,
}

impl Applies {
    fn to(self, operation: &Operation) -> bool {
        let parameters = || {
            operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
                RefOr::T(parameter) => Some(parameter),
                RefOr::Ref(_) => None,
            })
        };
        let is_input = |parameter: &Parameter| parameter.parameter_in != ParameterIn::Path;
        let is_key = |parameter: &Parameter| parameter.name == "Idempotency-Key";
        match self {
            Self::All => true,
            Self::Identified => operation.security.is_none(),
            Self::Input => operation.request_body.is_some() || parameters().any(is_input),
            Self::Bodies => operation.request_body.is_some(),
            Self::Keys => parameters().any(is_key),
        }
    }
}

/// Completes the description of an API for users: adds the server, the authentication and the
/// common answers.
pub fn complete_openapi(openapi: &mut OpenApi) {
    UserApi.modify(openapi);
    add_common_answers(openapi);
}

/// Completes the description of an API for operators, like [`complete_openapi`].
pub fn complete_operator_openapi(openapi: &mut OpenApi) {
    OperatorApi.modify(openapi);
    add_common_answers(openapi);
}

fn add_common_answers(openapi: &mut OpenApi) {
    let components = openapi.components.get_or_insert_default();
    for (name, schema) in [
        ("ErrorBody", ErrorBody::schema()),
        ("ErrorDetail", ErrorDetail::schema()),
        ("FieldFault", FieldFault::schema()),
    ] {
        components.schemas.entry(name.to_owned()).or_insert(schema);
    }
    for operation in openapi.paths.paths.values_mut().flat_map(operations) {
        for (status, applies, text) in COMMON {
            if applies.to(operation) {
                let responses = &mut operation.responses.responses;
                responses.entry(status.to_owned()).or_insert_with(|| refusal(text));
            }
        }
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = path;
    [get, put, post, delete, patch].into_iter().filter_map(Option::as_mut)
}

fn refusal(text: &str) -> RefOr<Response> {
    let content = Content::new(Some(Ref::from_schema_name("ErrorBody")));
    let response = ResponseBuilder::new().description(text);
    RefOr::T(response.content("application/json", content).build())
}
