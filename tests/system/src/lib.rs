//! The suite as its users meet it: the four real binaries as processes, a real PostgreSQL, a real
//! bus, and stand-ins for FCM and SES that are reached over HTTP.
//!
//! It is test code: what cannot be had fails the test, loudly, by a panic that says what was
//! attempted.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed precondition fails the test"
)]

pub mod aws;
pub mod hostile;
mod house;
mod person;
mod search;
pub mod storm;
mod stream;
mod timeline;

pub use house::{Bus, House, OPERATOR_TOKEN, Service};
pub use person::{Person, whole_seconds, written};
pub use stream::Stream;
pub use timeline::time;

use std::time::Duration;

/// How long anything that is to happen "soon" may take on a busy machine before the test gives up.
pub const LIMIT: Duration = Duration::from_secs(60);
