//! A running suite: its output and its console.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{http::Client, process, wait_until};
use tempfile::TempDir;

/// Longest time of a start; the first one creates the cluster and migrates the databases.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Longest time of a stop: a second or two on an idle machine, most of it for PostgreSQL's last
/// checkpoint; more if the disk is busy.
const END_LIMIT: Duration = Duration::from_secs(45);
/// Options of the ports.
const PORTS: [&str; 5] =
    ["--console-port", "--reminder-port", "--event-port", "--notification-port", "--sandbox-port"];

/// A running suite. It is killed when this value is dropped.
pub(super) struct Instance {
    /// Client of the console.
    pub(super) console: Client,
    /// URL of the console.
    pub(super) url: String,
    process: process::Running,
}

/// Creates a folder that the account of the database can enter.
pub(super) fn data_folder() -> TempDir {
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .expect("a temporary folder")
}

/// Command that runs the suite on a folder.
pub(super) fn command(data: &Path) -> process::Command {
    let data = data.to_str().expect("a UTF-8 path");
    process::Command::program("suite", env!("CARGO_BIN_EXE_suite"))
        .arg("--data")
        .arg(data)
        .without_ports()
}

impl Instance {
    /// Starts the suite on free ports and waits until it runs.
    pub(super) async fn start(data: &Path) -> Self {
        let ports: Vec<_> = PORTS.iter().flat_map(|option| [*option, "0"]).collect();
        Self::start_with(data, &ports).await
    }

    /// Starts the suite with other arguments.
    pub(super) async fn start_with(data: &Path, arguments: &[&str]) -> Self {
        let command =
            arguments.iter().fold(command(data), |command, argument| command.arg(*argument));
        let process = command.start().await;
        let url =
            wait_until(START_LIMIT, async || console(&process.log()).ok_or_else(|| process.log()))
                .await;
        Self { console: Client::new(&url), url, process }
    }

    /// Waits for the first message of this kind that contains this text.
    pub(super) async fn message(&self, kind: &str, text: &str, limit: Duration) -> Value {
        wait_until(limit, async || {
            let messages =
                self.console.get(&format!("/api/messages?kind={kind}")).await.expect(200).body;
            first(&messages["messages"], |message| message.to_string().contains(text))
                .ok_or(messages)
        })
        .await
    }

    /// Waits for the event `notification:sent` of a message, and returns its data.
    pub(super) async fn sent_event(&self, message: &Value, limit: Duration) -> Value {
        wait_until(limit, async || {
            let events =
                self.console.get("/api/events?type=notification:sent").await.expect(200).body;
            let of_message =
                |event: &Value| event["data"]["providerMessageId"] == message["messageId"];
            first(&events["events"], of_message).map(|event| event["data"].clone()).ok_or(events)
        })
        .await
    }

    /// Stops the suite as Ctrl-C does. Returns its exit code.
    pub(super) async fn stop(mut self) -> Option<i32> {
        self.process.signal(Signal::SIGINT);
        self.process.ended(END_LIMIT).await
    }
}

fn first(list: &Value, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
    list.as_array()?.iter().find(|item| wanted(item)).cloned()
}

/// Returns the URL of the console once the whole banner is printed.
fn console(log: &str) -> Option<String> {
    log.find("Press Ctrl-C to stop")?;
    let line = log.lines().find(|line| line.trim_start().starts_with("console "))?;
    line.split_whitespace().last().map(str::to_owned)
}
