//! System tests of the suite: the four real binaries as processes, a real PostgreSQL, a real bus,
//! and stand-ins for FCM and SES that are called over HTTP.
//!
//! It is test code: a failed precondition fails the test with a panic that says what was attempted.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed precondition fails the test"
)]

pub mod aws;
pub mod hostile;
mod outage;
mod search;
pub mod storm;
mod stream;
mod test_suite;
mod test_user;
mod timeline;

pub use stream::Stream;
pub use support::Service;
pub use test_suite::{Bus, OPERATOR_TOKEN, TestSuite};
pub use test_user::{TestUser, rfc3339, truncate_to_seconds};
pub use timeline::parse_time;

use std::time::Duration;

/// Longest time that a test waits for something on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);
