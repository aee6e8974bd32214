//! What the tests share: a database each, the real binaries as processes, a typed HTTP client,
//! waiting until something holds. Nothing here knows a service's code.
//!
//! It is test code: what cannot be had fails the test, loudly, by a panic that says what was
//! attempted.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed precondition fails the test"
)]

mod eventually;
pub mod http;
pub mod ministack;
pub mod plans;
pub mod postgres;
pub mod process;

pub use eventually::{Probed, eventually};
