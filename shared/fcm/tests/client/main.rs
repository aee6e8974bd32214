//! Tests of the client with servers that speak FCM's protocols.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed precondition fails the test")]

mod auth;
mod connections;
mod outcomes;
mod test_phone;
mod test_servers;
