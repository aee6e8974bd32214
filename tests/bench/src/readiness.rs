//! A process that the bench started: it dies with the bench, whatever way that ends.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use http::Method;
use nix::sys::signal::Signal;
use private_postgres::process::{Process, die_with_parent};

use crate::load::{Connection, request};

/// How long a start and an end may take.
const START_LIMIT: Duration = Duration::from_secs(30);
const END_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a process that starts: it sets how exactly a cold start is known.
const PAUSE: Duration = Duration::from_millis(1);
/// How many lines of a log an error shows.
const TAIL_LINES: usize = 15;

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) file: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Program {
    /// A binary that lies beside the bench's own, with nothing of the bench's environment.
    pub(crate) fn beside(
        name: &'static str,
        argument: &str,
        environment: Vec<(&'static str, String)>,
    ) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("find the bench's own file")?;
        let file = own.with_file_name(name);
        ensure!(file.is_file(), "{} is not there: `make bench` builds it", file.display());
        Ok(Self { name, file, arguments: vec![argument.to_owned()], environment })
    }

    /// Starts it; what it prints goes to a file in `logs`.
    pub(crate) fn start(&self, logs: &Path) -> anyhow::Result<Running> {
        let log = logs.join(format!("{}.log", self.name));
        let out = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let err = out.try_clone().context("share a log file")?;
        let mut command = Command::new(&self.file);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        die_with_parent(&mut command, Signal::SIGKILL);
        let begun = Instant::now();
        let process =
            Process::start(command).with_context(|| format!("start {}", self.file.display()))?;
        Ok(Running { name: self.name, process, log, begun })
    }

    /// Starts it and waits until it has ended well.
    pub(crate) async fn run(&self, logs: &Path) -> anyhow::Result<()> {
        let mut running = self.start(logs)?;
        ensure!(
            running.process.ended_within(START_LIMIT).await,
            "{} did not end; {}",
            self.name,
            running.tail()
        );
        let status = running.process.exit_status();
        ensure!(
            status.is_some_and(|status| status.success()),
            "{} {:?} ended with {status:?}; {}",
            self.name,
            self.arguments,
            running.tail()
        );
        Ok(())
    }
}

/// Where a process listens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Addresses {
    rest: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Addresses {
    pub(crate) fn rest(self) -> anyhow::Result<SocketAddr> {
        self.rest.context("no REST port was named")
    }

    pub(crate) fn admin(self) -> anyhow::Result<SocketAddr> {
        self.admin.context("no admin port was named")
    }
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: &'static str,
    process: Process,
    log: PathBuf,
    begun: Instant,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.process.pid().as_raw()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until it has said where it listens.
    pub(crate) async fn listening(&self) -> anyhow::Result<Addresses> {
        loop {
            self.check("has not said where it listens")?;
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(addresses) = addresses(&log) {
                return Ok(addresses);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until `/readyz` answers 200; tells how long that was after the start.
    pub(crate) async fn ready(&self) -> anyhow::Result<(Addresses, Duration)> {
        let addresses = self.listening().await?;
        let admin = addresses.admin()?;
        let mut last;
        loop {
            match readyz(admin).await {
                Ok(true) => return Ok((addresses, self.begun.elapsed())),
                Ok(false) => last = "it is not ready".to_owned(),
                Err(error) => last = format!("{error:#}"),
            }
            self.check(&last)?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends it in good order.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGTERM);
        if self.process.ended_within(END_LIMIT).await {
            return Ok(());
        }
        bail!("{} did not drain within {END_LIMIT:?} after SIGTERM; {}", self.name, self.tail())
    }

    fn check(&self, what: &str) -> anyhow::Result<()> {
        if let Some(status) = self.process.exit_status() {
            bail!("{} ended ({status}); {}", self.name, self.tail());
        }
        let waited = self.begun.elapsed();
        ensure!(
            waited < START_LIMIT,
            "{}: {what}, {waited:?} after its start; {}",
            self.name,
            self.tail()
        );
        Ok(())
    }

    /// The end of what it printed.
    pub(crate) fn tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default();
        format!("its log ends:\n{}", last.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGKILL);
    }
}

async fn readyz(admin: SocketAddr) -> anyhow::Result<bool> {
    let (status, _) = Connection::open(admin)
        .await?
        .call(request(Method::GET, admin, "/readyz", "bench", ""))
        .await?;
    Ok(status.is_success())
}

/// The addresses in the line `listening rest=IP:PORT admin=IP:PORT`, either of which may be
/// missing.
fn addresses(log: &str) -> Option<Addresses> {
    // A line without its end may be half written.
    let whole = log.get(..log.rfind('\n')?)?;
    let line = whole.lines().find(|line| line.starts_with("listening "))?;
    let named =
        |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok());
    Some(Addresses { rest: named("rest="), admin: named("admin=") })
}

#[cfg(test)]
mod tests {
    use super::addresses;

    #[test]
    fn addresses_are_read_from_a_whole_line() {
        let found = addresses("one\nlistening rest=127.0.0.1:3000 admin=127.0.0.1:9090\n")
            .expect("both are named");
        assert_eq!(found.rest().expect("named").port(), 3000);
        assert_eq!(found.admin().expect("named").port(), 9090);
        assert!(addresses("listening rest=127.0.0.1:30").is_none());
        assert!(addresses("listening admin=127.0.0.1:1\n").expect("one is named").rest().is_err());
    }
}
