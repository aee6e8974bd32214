//! Tests of the service as production builds it, with a real database and bus, and with the
//! sandbox's FCM and SES over HTTP.

mod budgets;
mod changes;
mod command;
mod cut_off;
mod device_store;
mod devices;
mod drain;
mod erasure;
mod export;
mod fairness;
mod faults;
mod history;
mod history_rows;
mod hostile_users;
mod inbox;
mod limits;
mod openapi;
mod outcomes;
mod preferences;
mod query_plans;
mod quiet_hours;
mod reconcile;
mod released_ahead;
mod retention;
mod revisions;
mod sending;
mod ses_bounces;
mod store;
mod stream;
mod test_service;
mod text;
mod unreadable;
mod zone_changes;
