//! Tests of the channels with providers that speak the real protocols.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed precondition fails the test")]

mod email;
