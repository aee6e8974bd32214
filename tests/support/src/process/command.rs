//! A program to start.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use private_postgres::process::{self, Process};

use super::{Addresses, END_LIMIT, Log, PAUSE, Running};

/// Returns the file of a binary of this workspace, in the profile this program was built with.
///
/// # Panics
///
/// If it has not been built: `cargo build --bins` does that.
pub fn binary(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("this program has a file");
    let is_profile = |dir: &&Path| {
        dir.file_name() != Some(OsStr::new("deps"))
            && dir.file_name() != Some(OsStr::new("examples"))
    };
    let profile = program.ancestors().skip(1).find(is_profile).expect("the file is in a folder");
    let binary = profile.join(name);
    let build = if profile.ends_with("release") {
        "cargo build --release --bins"
    } else {
        "cargo build --bins"
    };
    assert!(binary.is_file(), "{} is not built: run `{build}` first", binary.display());
    binary
}

/// A program to start, with no variable of this process's environment but `PATH`.
#[derive(Debug, Clone)]
pub struct Command {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    log: Option<PathBuf>,
    listens: bool,
}

impl Command {
    /// A binary of this workspace.
    ///
    /// # Panics
    ///
    /// If it has not been built.
    pub fn new(name: &str) -> Self {
        Self::program(name, binary(name))
    }

    /// Any program; its log is named `name`.
    pub fn program(name: &str, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            log: None,
            listens: true,
        }
    }

    /// Name of the binary.
    pub fn name(&self) -> &str {
        &self.name
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

    /// Writes the output to a file in `folder` that is kept, instead of one that is removed unless
    /// the test fails.
    #[must_use]
    pub fn log_to(mut self, folder: &Path) -> Self {
        self.log = Some(folder.join(format!("{}.log", self.name)));
        self
    }

    /// Does not wait for the addresses at the start: for a command that does something and ends.
    #[must_use]
    pub fn without_ports(mut self) -> Self {
        self.listens = false;
        self
    }

    /// Starts the program and returns at once.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn spawn(&self) -> anyhow::Result<Running> {
        let log = match &self.log {
            Some(path) => Log::at(path)?,
            None => Log::of_test(&self.name)?,
        };
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(&self.environment);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.stdin(Stdio::null()).stdout(log.stdio()?).stderr(log.stdio()?);
        process::die_with_parent(&mut command, Signal::SIGKILL);
        let started = Instant::now();
        let process =
            Process::start(command).with_context(|| format!("start {}", self.program.display()))?;
        let addresses = Addresses::default();
        Ok(Running { name: self.name.clone(), process, log, started, addresses })
    }

    /// Starts the program and waits until it has printed its addresses.
    ///
    /// # Panics
    ///
    /// If it cannot be started, ends, or prints no address in time: with the end of its log.
    pub async fn start(self) -> Running {
        let starting = async {
            let mut running = self.spawn()?;
            if self.listens {
                running.addresses = running.listening(PAUSE).await?;
            }
            anyhow::Ok(running)
        };
        starting.await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Starts the program, waits until it has ended, and returns its exit code and its output.
    ///
    /// # Panics
    ///
    /// If it cannot be started or does not end.
    pub async fn run(self) -> (Option<i32>, String) {
        let mut running = self.without_ports().start().await;
        let code = running.ended(END_LIMIT).await;
        (code, running.log())
    }
}
