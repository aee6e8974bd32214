//! The service as production builds it, on a real database and bus, with the sandbox's FCM and SES
//! over HTTP.

mod budgets;
mod changes;
mod command;
mod cut_off;
mod devices;
mod drain;
mod erasure;
mod export;
mod fairness;
mod faults;
mod feedback;
mod harness;
mod history;
mod hostile;
mod inbox;
mod limits;
mod openapi;
mod plans;
mod preferences;
mod reconcile;
mod retention;
mod revisions;
mod sending;
mod store;
mod stream;
mod unreadable;
mod written;
