//! The service from outside: built as in production, on ports of its own, against a real PostgreSQL that is its database and
//! its bus.

mod change;
mod create;
mod delete;
mod idempotency;
mod list;
mod messages;
mod openapi;
mod service;
mod start;
mod validation;
