//! The process of notification-service.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    service::cli::run::<notification_service::NotificationService>().await
}
