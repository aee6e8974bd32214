//! Tests of the channels with providers that speak the real protocols.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed precondition fails the test")]

mod email;
mod fcm_auth;
mod fcm_connections;
mod fcm_outcomes;
mod test_phone;
mod test_servers;
