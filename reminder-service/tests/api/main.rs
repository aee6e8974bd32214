//! The service from outside: built as in production, on ports of its own, against a real PostgreSQL
//! that is its database and its bus.

mod addresses;
mod bulk;
mod calendar;
mod change;
mod create;
mod delete;
mod idempotency;
mod limits;
mod list;
mod me;
mod messages;
mod openapi;
mod plans;
mod recurring;
mod service;
mod snooze;
mod start;
mod validation;
