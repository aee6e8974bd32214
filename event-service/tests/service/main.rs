//! event-service on a real database: what it makes of events, in whatever order and however often
//! they come.

mod audit;
mod consumer;
mod deliveries;
mod erasure;
mod fixture;
mod migrations;
mod operators;
mod order;
mod outcomes;
mod pages;
mod plans;
mod purge;
mod routes;
mod running;
mod series;
mod stream;
mod watchdog;
