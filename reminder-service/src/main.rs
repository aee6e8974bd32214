//! The process of reminder-service.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    service::cli::run::<reminder_service::ReminderService>().await
}
