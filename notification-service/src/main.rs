//! The process of notification-service.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    shared::cli::run::<notification_service::Notifications>().await
}
