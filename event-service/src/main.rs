//! The event-service binary.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    service::cli::run::<event_service::EventService>().await
}
