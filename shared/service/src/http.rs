//! HTTP of every service: the server with its limits, the admin port, the error body, and clients.

pub mod admin;
mod client;
mod cors;
mod error;
pub mod guard;
mod replay;
mod server;

use std::net::IpAddr;

use axum::http::HeaderName;

pub use client::{client, streaming_client};
pub use cors::AllowedOrigins;
pub use error::{ApiError, ErrorBody, ErrorDetail, FieldFault, Reason};
pub use server::{BodyTimedOut, Listeners, ServerSettings, serve, serve_admin};

/// Header with the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Address of the client of a connection: an extension of each request to [`serve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);
