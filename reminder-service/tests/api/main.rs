//! API tests: the service is built as in production and listens on free ports; a real PostgreSQL is
//! its database and its bus.

mod addresses;
mod agenda;
mod bulk;
mod calendar;
mod change;
mod create;
mod default_zone;
mod delete;
mod due;
mod feeds;
mod floating;
mod follow_zones;
mod idempotency;
mod import;
mod last_outcome;
mod limits;
mod list;
mod local_times;
mod me;
mod messages;
mod occurrence;
mod openapi;
mod pause;
mod plans;
mod preconditions;
mod preferences;
mod recurring;
mod republish;
mod service;
mod snooze;
mod start;
mod text;
mod validation;
