//! What all REST APIs of the suite have in common: errors, identity, request ids, bodies, idempotency keys, the stack
//! of layers around the routes, and the admin port.

pub mod admin;
mod bearer;
mod client;
mod docs;
mod error;
mod extract;
pub mod idempotency;
mod identity;
mod jwks;
mod layers;
mod operator;
mod server;

pub use client::client;
pub use docs::openapi_routes;
pub use error::{ApiError, ErrorBody, ErrorDetail, Reason};
pub use extract::{Body, Params, PathId, RawBody, part};
pub use identity::{Authenticator, Credentials, Identity};
pub use layers::{ApiSettings, RequestContext, api};
pub use operator::require_operator;
pub use server::{Listeners, serve};
