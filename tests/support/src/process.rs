//! The real binaries as processes.
//!
//! ```no_run
//! # async fn test() {
//! use std::time::Duration;
//! use support::process::Command;
//!
//! let service = Command::new("reminder-service").env("PORT", "0").env("ADMIN_PORT", "0").start().await;
//! service.ready(Duration::from_secs(10)).await;
//! let reminders = support::http::Client::new(service.rest_url()).as_user("ada", "ada@example.com");
//! assert_eq!(service.terminate().await, Some(0));
//! # }
//! ```

mod log;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use private_postgres::process::{self, Process};

use crate::{eventually, http};
use log::Log;

/// How long a process may take to say where it listens, and to end after SIGTERM.
const START_LIMIT: Duration = Duration::from_secs(30);
const END_LIMIT: Duration = Duration::from_secs(60);

/// The file of a binary of this workspace, in the profile this program was built with.
///
/// # Panics
///
/// When it has not been built: `cargo build --bins` does that.
pub fn binary(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("this program has a file");
    let below = |dir: &&Path| {
        dir.file_name() != Some(OsStr::new("deps"))
            && dir.file_name() != Some(OsStr::new("examples"))
    };
    let profile = program.ancestors().skip(1).find(below).expect("the file lies in a folder");
    let binary = profile.join(name);
    let how = if profile.ends_with("release") {
        "cargo build --release --bins"
    } else {
        "cargo build --bins"
    };
    assert!(binary.is_file(), "{} is not there: run `{how}` first", binary.display());
    binary
}

/// A binary to start, with nothing of this process's environment but `PATH`.
#[derive(Debug, Clone)]
pub struct Command {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    listens: bool,
}

impl Command {
    /// A binary of this workspace.
    pub fn new(name: &str) -> Self {
        Self::program(name, binary(name))
    }

    /// Any program; `name` is what its log is called.
    pub fn program(name: &str, program: impl Into<PathBuf>) -> Self {
        let (arguments, environment) = (Vec::new(), BTreeMap::new());
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments,
            environment,
            listens: true,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Sets several variables.
    #[must_use]
    pub fn envs<N: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.environment
            .extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Does not wait for the line that says where it listens: for commands that do something and
    /// end.
    #[must_use]
    pub fn without_ports(mut self) -> Self {
        self.listens = false;
        self
    }

    /// Starts it and waits until it has said where it listens.
    ///
    /// # Panics
    ///
    /// When it cannot be started, ends, or says nothing in time: with the end of its log.
    pub async fn start(self) -> Running {
        let log = Log::create(&self.name);
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(&self.environment);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.stdin(std::process::Stdio::null()).stdout(log.file()).stderr(log.file());
        process::die_with_parent(&mut command, Signal::SIGKILL);
        let process = Process::start(command)
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let mut running = Running { name: self.name, process, log, rest: None, admin: None };
        if self.listens {
            running.learn_addresses().await;
        }
        running
    }

    /// Starts it, waits until it has ended, and answers its exit code and what it printed.
    ///
    /// # Panics
    ///
    /// When it cannot be started or does not end.
    pub async fn run(self) -> (Option<i32>, String) {
        let mut running = self.without_ports().start().await;
        let code = running.ended(END_LIMIT).await;
        (code, running.log())
    }
}

/// A running process. It is killed with this value.
#[derive(Debug)]
pub struct Running {
    name: String,
    process: Process,
    log: Log,
    rest: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Running {
    /// Where its REST port listens.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn rest_addr(&self) -> SocketAddr {
        self.rest.unwrap_or_else(|| panic!("{} has no REST port", self.name))
    }

    /// Where its admin port listens.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.unwrap_or_else(|| panic!("{} has no admin port", self.name))
    }

    /// The REST port as `http://…`.
    pub fn rest_url(&self) -> String {
        format!("http://{}", self.rest_addr())
    }

    /// The admin port as `http://…`.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin_addr())
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.pid().as_raw()
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    ///
    /// When it does not within `limit`, or the process ends: with the last answer and the end of
    /// its log.
    pub async fn ready(&self, limit: Duration) {
        let admin = http::Client::new(self.admin_url());
        eventually(limit, async || {
            self.assert_runs();
            let answer = admin
                .try_send(reqwest::Method::GET, "/readyz", None)
                .await
                .map_err(|e| format!("{e:?}"))?;
            if answer.status == 200 {
                return Ok(());
            }
            Err(format!("/readyz answers {}: {}\n{}", answer.status, answer.body, self.log.tail()))
        })
        .await;
    }

    /// Sends SIGTERM and waits until it has ended. Answers its exit code, `None` when a signal
    /// ended it.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn terminate(mut self) -> Option<i32> {
        self.process.signal(Signal::SIGTERM);
        self.ended(END_LIMIT).await
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub async fn kill(mut self) {
        self.process.signal(Signal::SIGKILL);
        self.ended(END_LIMIT).await;
    }

    /// Halts it (SIGSTOP).
    pub fn stop(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn cont(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Sends it any signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until it has ended. Answers its exit code, `None` when a signal ended it.
    ///
    /// # Panics
    ///
    /// When it does not end within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Option<i32> {
        let ended = self.process.ended_within(limit).await;
        assert!(
            ended,
            "{} did not end within {limit:?}; its log ends:\n{}",
            self.name,
            self.log.tail()
        );
        self.process.exit_status().and_then(|status| status.code())
    }

    async fn learn_addresses(&mut self) {
        let (rest, admin) = eventually(START_LIMIT, async || {
            self.assert_runs();
            addresses(&self.log.text()).ok_or_else(|| {
                format!("{} has not said where it listens:\n{}", self.name, self.log.tail())
            })
        })
        .await;
        (self.rest, self.admin) = (rest, admin);
    }

    fn assert_runs(&self) {
        if let Some(status) = self.process.exit_status() {
            panic!("{} ended ({status}); its log ends:\n{}", self.name, self.log.tail());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGKILL);
    }
}

/// The addresses in the line `listening rest=IP:PORT admin=IP:PORT`, either of which may be
/// missing.
fn addresses(log: &str) -> Option<(Option<SocketAddr>, Option<SocketAddr>)> {
    // A line without its end may be half written.
    let whole = &log[..log.rfind('\n')?];
    let line = whole.lines().find(|line| line.starts_with("listening "))?;
    let named =
        |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok());
    Some((named("rest="), named("admin=")))
}

#[cfg(test)]
mod tests {
    use super::addresses;

    #[test]
    fn addresses_are_read_from_the_line_that_names_them() {
        let log = "migrated\nlistening rest=127.0.0.1:3000 admin=127.0.0.1:9090\nmore";
        let (rest, admin) = addresses(log).unwrap();
        assert_eq!(rest.unwrap().port(), 3000);
        assert_eq!(admin.unwrap().port(), 9090);

        let (rest, admin) = addresses("listening admin=127.0.0.1:9090\n").unwrap();
        assert_eq!((rest, admin.unwrap().port()), (None, 9090));
        assert!(addresses("listening rest=127.0.0.1:30").is_none());
    }
}
