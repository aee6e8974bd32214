//! Behaviour of every REST API of the suite, tested on a small router behind the real layers.

#![allow(clippy::panic, reason = "one route fails on purpose")]

#[path = "http/bearer_tokens.rs"]
mod bearer_tokens;
#[path = "http/gateway_identity.rs"]
mod gateway_identity;
#[path = "http/origins.rs"]
mod origins;
#[path = "http/rate_limit.rs"]
mod rate_limit;
#[path = "http/requests.rs"]
mod requests;
#[path = "http/responses.rs"]
mod responses;
#[path = "http/test_api.rs"]
mod test_api;
