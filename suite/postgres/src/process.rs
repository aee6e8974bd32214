//! A child process that is watched by a thread of its own and can be made to die with its parent.

use std::{
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::watch;

use crate::folder::Folder;

/// A command in the cluster's folder and account, with nothing of our environment but the path.
pub(crate) fn command(program: &Path, folder: &Folder) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").current_dir(&folder.root).stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    if let Some(account) = &folder.account {
        account.apply(&mut command);
    }
    command
}

/// A running child, or one that has ended. Clones stand for the same child; dropping them leaves it
/// alone.
#[derive(Debug, Clone)]
pub struct Process {
    pid: Pid,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts `command` in a process group of its own, so that a Ctrl-C at the terminal does not
    /// reach it.
    ///
    /// A thread that lives as long as the child starts it and waits for it: "parent" in the death
    /// signal of [`die_with_parent`] means the thread that forked.
    ///
    /// # Errors
    ///
    /// When the program cannot be run.
    pub fn start(mut command: Command) -> io::Result<Self> {
        command.process_group(0);
        let (started, start) = mpsc::channel();
        let (ending, ended) = watch::channel(None);
        thread::Builder::new().name("postgres".to_owned()).spawn(move || {
            match command.spawn() {
                Ok(mut child) => {
                    let _ = started.send(Ok(child.id()));
                    let _ = ending.send(child.wait().ok());
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
        let id = start.recv().map_err(io::Error::other)??;
        let id = i32::try_from(id).map_err(io::Error::other)?;
        Ok(Self { pid: Pid::from_raw(id), ended })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended; `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Waits until it has ended, for at most `limit`. Answers whether it did.
    pub async fn ended_within(&mut self, limit: Duration) -> bool {
        // The sender goes with the thread, which goes with the child: an error means it has ended
        // as well.
        tokio::time::timeout(limit, self.ended.wait_for(Option::is_some)).await.is_ok()
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        if self.exit_status().is_none() {
            let _ = kill(self.pid, signal);
        }
    }
}

/// Has the kernel send the child a signal when its parent dies, in whatever way. Start it by
/// [`Process::start`].
///
/// Linux only: elsewhere this does nothing.
#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "pre_exec is unsafe; the closure makes two system calls and allocates nothing"
)]
pub fn die_with_parent(command: &mut Command, signal: Signal) {
    let parent = nix::unistd::getpid();
    let tie = move || {
        nix::sys::prctl::set_pdeathsig(signal)?;
        // The parent may have died before the line above.
        if nix::unistd::getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: prctl and getppid are async-signal-safe, and nothing is allocated or locked between
    // fork and exec.
    unsafe { command.pre_exec(tie) };
}

/// See the Linux version.
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent(_command: &mut Command, _signal: Signal) {}

/// Whether a process with this id exists.
pub(crate) fn is_alive(pid: Pid) -> bool {
    !matches!(kill(pid, None), Err(Errno::ESRCH))
}

/// Waits until a process that is not our child has gone, for at most `limit`. Answers whether it
/// has.
pub(crate) async fn gone_within(pid: Pid, limit: Duration) -> bool {
    let waiting = async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, waiting).await.is_ok()
}
