//! Journeys through the real binaries, on both buses.

use system::Bus;

mod arrival;
mod calendars;
mod changes;
#[cfg(target_os = "linux")]
mod connections;
mod faults;
mod floating;
mod hostile;
mod inbox;
mod messages;
mod occurrences;
mod offsets;
mod outcomes;
mod preferences;
mod recurring;
mod released;
mod replicas;
mod snooze;
mod storm;
mod user_data;
mod watchdog;

/// Declares two tests for each journey: one on SNS and SQS, one on the postgres bus.
macro_rules! on_both_buses {
    ($($journey:ident),* $(,)?) => {
        mod aws {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $journey() {
                    super::$journey(crate::Bus::Aws).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $journey() {
                    super::$journey(crate::Bus::Postgres).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_buses;
