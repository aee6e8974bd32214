//! A local AWS (SNS, SQS, SES): one MiniStack process for each test, on a free port of the
//! loopback.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    process::{Command, Running},
    wait_until,
};

/// Longest time until it answers.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Region that the tests use.
pub const REGION: &str = "eu-west-1";
/// Access key and secret; MiniStack checks neither.
pub const CREDENTIALS: (&str, &str) = ("test", "test");

/// A running MiniStack. It is killed when this value is dropped or the test process ends.
#[derive(Debug)]
pub struct MiniStack {
    endpoint: String,
    running: Running,
}

impl MiniStack {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it is not installed (`make setup` does that) or does not start.
    pub async fn start() -> Self {
        let port = free_port();
        let running = Command::program("ministack", binary())
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_REGION", REGION)
            .env("SERVICES", "sns,sqs,ses,iam,kms,sts")
            .env("LOG_LEVEL", "WARNING")
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .without_ports()
            .start()
            .await;
        let endpoint = format!("http://127.0.0.1:{port}");
        let client = crate::http::Client::new(&endpoint);
        wait_until(START_LIMIT, async || {
            let answer = client.try_send(reqwest::Method::GET, "/_ministack/health", None).await;
            match answer {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}\n{}", running.log())),
            }
        })
        .await;
        Self { endpoint, running }
    }

    /// The process, for tests that pause it.
    pub fn process(&self) -> &Running {
        &self.running
    }

    /// Address of every emulated AWS service.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// Finds the program: `MINISTACK_BIN`, else the one that `make setup` installed, else one in
/// `PATH`.
fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("MINISTACK_BIN") {
        return binary.into();
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/ministack");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("ministack"));
    let mut found = std::iter::once(installed).chain(on_path).filter(|file| file.is_file());
    found
        .next()
        .unwrap_or_else(|| panic!("MiniStack, the local AWS, is not installed: run `make setup`"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("the listener has an address").port()
}
