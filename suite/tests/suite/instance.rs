//! A running suite, as a test sees it: its terminal and its console.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{eventually, http::Client, process};
use tempfile::TempDir;

/// The first start makes a database cluster and all schemas.
const START_LIMIT: Duration = Duration::from_secs(120);
/// A second or two on a quiet machine, most of it PostgreSQL writing what it holds; on a busy one
/// its disk is waited for.
const END_LIMIT: Duration = Duration::from_secs(45);
/// The options by which any free port is taken.
const PORTS: [&str; 5] =
    ["--console-port", "--reminder-port", "--event-port", "--notification-port", "--sandbox-port"];

/// A running suite. It is killed with this value.
pub(super) struct Instance {
    /// Its console, as the demo user.
    pub(super) console: Client,
    /// The page's address.
    pub(super) page: String,
    process: process::Running,
}

/// A folder that the database's account can enter.
pub(super) fn data_folder() -> TempDir {
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .expect("a temporary folder")
}

/// The suite's binary on a folder.
pub(super) fn command(data: &Path) -> process::Command {
    let data = data.to_str().expect("a UTF-8 path");
    process::Command::program("suite", env!("CARGO_BIN_EXE_suite"))
        .arg("--data")
        .arg(data)
        .without_ports()
}

impl Instance {
    /// Starts it on free ports and waits until it runs.
    pub(super) async fn start(data: &Path) -> Self {
        let ports: Vec<_> = PORTS.iter().flat_map(|option| [*option, "0"]).collect();
        Self::start_with(data, &ports).await
    }

    /// The same with arguments of one's own.
    pub(super) async fn start_with(data: &Path, arguments: &[&str]) -> Self {
        let command =
            arguments.iter().fold(command(data), |command, argument| command.arg(*argument));
        let process = command.start().await;
        let page =
            eventually(START_LIMIT, async || page(&process.log()).ok_or_else(|| process.log()))
                .await;
        Self { console: Client::new(&page), page, process }
    }

    /// The first message of this kind with this text in it, waiting for it.
    pub(super) async fn message(&self, kind: &str, text: &str, limit: Duration) -> Value {
        eventually(limit, async || {
            let messages =
                self.console.get(&format!("/api/messages?kind={kind}")).await.expect(200).body;
            first(&messages["messages"], |message| message.to_string().contains(text))
                .ok_or(messages)
        })
        .await
    }

    /// What event-service's catalogue says of a message, waiting for it.
    pub(super) async fn record_of(&self, message: &Value, limit: Duration) -> Value {
        eventually(limit, async || {
            let events =
                self.console.get("/api/events?type=notification:sent").await.expect(200).body;
            let of_message =
                |event: &Value| event["data"]["providerMessageId"] == message["messageId"];
            first(&events["events"], of_message).map(|event| event["data"].clone()).ok_or(events)
        })
        .await
    }

    /// Ends it as Ctrl-C does. Answers its exit code.
    pub(super) async fn stop(mut self) -> Option<i32> {
        self.process.signal(Signal::SIGINT);
        self.process.ended(END_LIMIT).await
    }
}

fn first(list: &Value, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
    list.as_array()?.iter().find(|item| wanted(item)).cloned()
}

/// The page's address, once everything is said.
fn page(log: &str) -> Option<String> {
    log.find("Ctrl-C ends it")?;
    let line = log.lines().find(|line| line.trim_start().starts_with("page "))?;
    line.split_whitespace().last().map(str::to_owned)
}
