//! What all REST APIs of the suite have in common: errors, identity, request ids, bodies, idempotency keys, the stack
//! of layers around the routes, and the admin port.

pub mod admin;
mod docs;
mod error;
mod extract;
pub mod idempotency;
mod identity;
mod jwks;
mod layers;
mod server;

pub use docs::openapi_routes;
pub use error::{ApiError, ErrorBody, ErrorDetail, Reason};
pub use extract::{Body, Params, PathId};
pub use identity::{Authenticator, Identity};
pub use layers::{ApiSettings, RequestContext, api};
pub use server::{Listeners, serve};
