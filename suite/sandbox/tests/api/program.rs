//! The `sandbox` program.

use std::time::Duration;

use support::{http::Client, process::Command};
use tempfile::TempDir;

#[tokio::test]
async fn serves_writes_account_and_stops_on_sigterm() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("account.json");
    let command = Command::program("sandbox", env!("CARGO_BIN_EXE_sandbox"));

    let program = command
        .arg("--port")
        .arg("0")
        .arg("--service-account")
        .arg(file.to_str().unwrap())
        .start()
        .await;

    program.wait_until_ready(Duration::from_secs(10)).await;
    let account: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(account["token_uri"], format!("{}/token", program.rest_url()));
    Client::new(program.rest_url()).get("/healthz").await.expect(200);
    assert!(program.log().contains(&format!("FCM_ENDPOINT={}", program.rest_url())));
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test]
async fn answers_again_when_resumed() {
    let program = Command::program("sandbox", env!("CARGO_BIN_EXE_sandbox"))
        .arg("--port")
        .arg("0")
        .start()
        .await;
    let health = format!("{}/healthz", program.rest_url());
    let ask = || support::http::plain().get(&health).timeout(Duration::from_millis(100)).send();

    program.pause();
    support::wait_until(Duration::from_secs(5), async || {
        ask().await.is_err_and(|error| error.is_timeout())
    })
    .await;
    program.resume();

    support::wait_until(Duration::from_secs(5), async || ask().await).await;
    program.kill().await;
}

#[tokio::test]
async fn reports_output_of_failed_start() {
    let command = Command::program("sandbox", env!("CARGO_BIN_EXE_sandbox"));

    let (code, output) = command.arg("--port").arg("nonsense").run().await;

    assert_eq!(code, Some(2));
    assert!(output.contains("invalid value 'nonsense'"), "{output}");
}
