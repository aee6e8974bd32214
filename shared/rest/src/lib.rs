//! Parts of every REST API: bodies, identity, request ids, idempotency keys, rate limits, OpenAPI,
//! and the stack of layers around the routes.

mod api_security;
mod auth;
mod bearer;
mod body_memory;
mod docs;
mod export_limit;
mod extract;
mod faults;
mod idempotency;
mod identity;
mod if_match;
pub mod json;
mod jwks;
mod jwt;
mod layers;
mod memory_budget;
mod openapi;
mod operator;
mod operators;
mod query;
mod rate_limit;
mod response_limits;
mod settings;
mod static_key;
mod streamed;

pub use api_security::{OperatorApi, UserApi};
pub use auth::{Auth, JwtSettings};
pub use body_memory::HeldMemory;
pub use docs::openapi_routes;
pub use export_limit::{ExportLimit, ExportPermit};
pub use extract::{
    Body, LenientBody, LenientParams, OptionalBody, Params, PathId, PathIdAndText, PathText,
    RawBody, RawJson,
};
pub use faults::Faults;
pub use identity::{Authenticator, Credentials, Identity};
pub use if_match::{IfMatch, entity_tag};
pub use layers::{RequestContext, api};
pub use openapi::{
    IdempotencyKeyHeader, IfMatchHeader, complete_openapi, complete_operator_openapi,
};
pub use operator::require_operator;
pub use operators::{Operator, Operators};
pub use rate_limit::{Allowance, ENTRIES_PER_CALL, KeyedRateLimit, RateLimit};
pub use settings::ApiSettings;
pub use streamed::{BodyWriter, ClientGone, streamed, streamed_json};
