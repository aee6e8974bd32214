//! Test kit of the workspace: a database for each test, the real binaries as processes, the
//! variables that a service needs, a typed HTTP client, and waiting for a condition.
//!
//! It depends on no service. It is test code: a failed precondition fails the test with a panic
//! that says what was attempted.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed precondition fails the test"
)]

pub mod environment;
pub mod http;
pub mod memory;
pub mod metrics;
pub mod ministack;
pub mod plans;
pub mod postgres;
pub mod process;
mod service;
mod wait_until;

pub use service::Service;
pub use wait_until::{Condition, wait_until};
