//! Journeys through the real binaries, each on both buses.

use system::Bus;

mod arrival;
mod calendars;
mod changes;
#[cfg(target_os = "linux")]
mod connections;
mod faults;
mod handled;
mod hostile;
mod inbox;
mod messages;
mod offsets;
mod preferences;
mod recurring;
mod released;
mod replicas;
mod storm;
mod theirs;
mod watchdog;

/// Runs each journey on SNS and SQS and on PostgreSQL, as tests of their own.
macro_rules! on_both_buses {
    ($($journey:ident),* $(,)?) => {
        mod aws {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $journey() { super::$journey(crate::Bus::Aws).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $journey() { super::$journey(crate::Bus::Postgres).await; })*
        }
    };
}
pub(crate) use on_both_buses;
