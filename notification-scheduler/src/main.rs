//! The notification-scheduler binary.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    service::cli::run::<notification_scheduler::NotificationScheduler>().await
}
