//! Common parts of all REST APIs: errors, identity, request ids, bodies, idempotency keys, the
//! stack of layers around the routes, and the admin port.

pub mod admin;
mod api_security;
mod bearer;
mod body_memory;
mod client;
mod cors;
mod docs;
mod error;
mod export_limit;
mod extract;
mod faults;
pub mod guard;
pub mod idempotency;
mod identity;
pub mod json;
mod jwks;
mod jwt;
mod layers;
mod memory_budget;
mod openapi;
mod operator;
mod query;
mod rate_limit;
mod response_limits;
mod server;
mod settings;
mod static_key;
mod streamed;

use std::net::IpAddr;

pub use api_security::{OperatorApi, UserApi};
pub use body_memory::HeldMemory;
pub use client::{client, streaming_client};
pub use cors::AllowedOrigins;
pub use docs::openapi_routes;
pub use error::{ApiError, ErrorBody, ErrorDetail, FieldFault, Reason};
pub use export_limit::{ExportLimit, ExportPermit};
pub use extract::{
    Body, LenientBody, LenientParams, OptionalBody, Params, PathId, PathText, RawBody,
};
pub use faults::Faults;
pub use identity::{Authenticator, Credentials, Identity};
pub use layers::{RequestContext, api};
pub use openapi::{IdempotencyKeyHeader, complete_openapi, complete_operator_openapi};
pub use operator::require_operator;
pub use rate_limit::{Allowance, ENTRIES_PER_CALL, RateLimit};
pub use server::{Listeners, ServerSettings, serve, serve_admin};
pub use settings::ApiSettings;
pub use streamed::{BodyWriter, ClientGone, streamed, streamed_json};

/// Address of the client of a connection: an extension of each request to [`serve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);
