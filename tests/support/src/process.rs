//! The real binaries as processes.
//!
//! ```no_run
//! # async fn test() {
//! use std::time::Duration;
//! use support::process::Command;
//!
//! let service = Command::new("reminder-service").env("PORT", "0").start().await;
//! service.wait_until_ready(Duration::from_secs(10)).await;
//! let client = support::http::Client::new(service.rest_url());
//! let reminders = client.as_user("ada", "ada@example.com");
//! assert_eq!(service.terminate().await, Some(0));
//! # }
//! ```

mod command;
mod log;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use private_postgres::process::Process;

use crate::{http, wait_until};
pub use command::{Command, binary};
use log::Log;

/// Longest time until a process prints its addresses.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Longest time until a process has ended after SIGTERM.
const END_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at the log of a process that starts.
const PAUSE: Duration = Duration::from_millis(10);

/// Addresses that a process has printed. Either may be missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses {
    rest: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Addresses {
    /// Address of the REST API.
    ///
    /// # Errors
    ///
    /// If the process did not print it.
    pub fn rest(self) -> anyhow::Result<SocketAddr> {
        self.rest.context("the process printed no REST address")
    }

    /// Address of the admin listener.
    ///
    /// # Errors
    ///
    /// If the process did not print it.
    pub fn admin(self) -> anyhow::Result<SocketAddr> {
        self.admin.context("the process printed no admin address")
    }

    /// Reads the line `listening rest=IP:PORT admin=IP:PORT`.
    fn read(log: &str) -> Option<Self> {
        // A line without its end may be half written.
        let whole = &log[..log.rfind('\n')?];
        let line = whole.lines().find(|line| line.starts_with("listening "))?;
        let named = |name: &str| {
            line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok())
        };
        Some(Self { rest: named("rest="), admin: named("admin=") })
    }
}

/// A running process. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    process: Process,
    log: Log,
    started: Instant,
    addresses: Addresses,
}

impl Running {
    /// Name of the binary.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Address of the REST API.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn rest_addr(&self) -> SocketAddr {
        self.addresses.rest.unwrap_or_else(|| panic!("{} has no REST address", self.name))
    }

    /// Address of the admin listener.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn admin_addr(&self) -> SocketAddr {
        self.addresses.admin.unwrap_or_else(|| panic!("{} has no admin address", self.name))
    }

    /// The REST API as `http://…`.
    pub fn rest_url(&self) -> String {
        format!("http://{}", self.rest_addr())
    }

    /// The admin listener as `http://…`.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin_addr())
    }

    /// Process id.
    pub fn pid(&self) -> i32 {
        self.process.pid().as_raw()
    }

    /// Output so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Time since the start.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until the process has printed its addresses, and looks at its log every `pause`.
    ///
    /// # Errors
    ///
    /// If it ends before, or prints none within 30 seconds.
    pub async fn listening(&self, pause: Duration) -> anyhow::Result<Addresses> {
        loop {
            if let Some(addresses) = Addresses::read(&self.log.text()) {
                return Ok(addresses);
            }
            self.ensure_starting("it has not printed its addresses")?;
            tokio::time::sleep(pause).await;
        }
    }

    /// Checks a process that is not ready yet.
    ///
    /// # Errors
    ///
    /// If it has ended, or was started more than 30 seconds ago: with `missing` and the end of its
    /// log.
    pub fn ensure_starting(&self, missing: &str) -> anyhow::Result<()> {
        if let Some(status) = self.process.exit_status() {
            bail!("{} ended ({status}); its log ends:\n{}", self.name, self.log.tail());
        }
        let age = self.age();
        let tail = || self.log.tail();
        ensure!(age < START_LIMIT, "{}: {missing} {age:?} after its start:\n{}", self.name, tail());
        Ok(())
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    ///
    /// If it does not within `limit`, or the process ends: with the last answer and the end of its
    /// log.
    pub async fn wait_until_ready(&self, limit: Duration) {
        let admin = http::Client::new(self.admin_url());
        wait_until(limit, async || {
            if let Some(status) = self.process.exit_status() {
                panic!("{} ended ({status}); its log ends:\n{}", self.name, self.log.tail());
            }
            let answer = admin
                .try_send(reqwest::Method::GET, "/readyz", None)
                .await
                .map_err(|error| format!("{error:?}"))?;
            if answer.status == 200 {
                return Ok(());
            }
            Err(format!("/readyz answers {}: {}\n{}", answer.status, answer.body, self.log.tail()))
        })
        .await;
    }

    /// Sends SIGTERM and waits until the process has ended. Returns its exit code, `None` if a
    /// signal ended it.
    ///
    /// # Errors
    ///
    /// If it does not end within `limit`.
    pub async fn terminate_within(mut self, limit: Duration) -> anyhow::Result<Option<i32>> {
        self.process.signal(Signal::SIGTERM);
        self.exit_code(limit).await
    }

    /// Sends SIGTERM and waits until the process has ended. Returns its exit code, `None` if a
    /// signal ended it.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn terminate(self) -> Option<i32> {
        self.terminate_within(END_LIMIT).await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    pub async fn kill(mut self) {
        self.process.signal(Signal::SIGKILL);
        self.ended(END_LIMIT).await;
    }

    /// Pauses the process (SIGSTOP).
    pub fn pause(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Resumes the process (SIGCONT).
    pub fn resume(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until the process has ended. Returns its exit code, `None` if a signal ended it.
    ///
    /// # Panics
    ///
    /// If it does not end within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Option<i32> {
        self.exit_code(limit).await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Waits until the process has ended. Returns its exit code, `None` if a signal ended it.
    ///
    /// # Errors
    ///
    /// If it does not end within `limit`.
    pub async fn exit_code(&mut self, limit: Duration) -> anyhow::Result<Option<i32>> {
        ensure!(
            self.process.ended_within(limit).await,
            "{} did not end within {limit:?}; its log ends:\n{}",
            self.name,
            self.log.tail()
        );
        Ok(self.process.exit_status().and_then(|status| status.code()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::Addresses;

    #[test]
    fn reads_addresses_from_whole_line() {
        let log = "migrated\nlistening rest=127.0.0.1:3000 admin=127.0.0.1:9090\nmore";
        let addresses = Addresses::read(log).unwrap();
        assert_eq!(addresses.rest().unwrap().port(), 3000);
        assert_eq!(addresses.admin().unwrap().port(), 9090);

        let addresses = Addresses::read("listening admin=127.0.0.1:9090\n").unwrap();
        assert!(addresses.rest().is_err());
        assert_eq!(addresses.admin().unwrap().port(), 9090);
        assert!(Addresses::read("listening rest=127.0.0.1:30").is_none());
    }
}
