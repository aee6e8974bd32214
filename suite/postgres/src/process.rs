//! A child process that has a thread waiting for it, and can be made to die with its parent.

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

/// Builds a command in the folder and account of the cluster, with no variable of this process but
/// `PATH`.
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

/// A child process that runs or has ended. Clones refer to the same child; dropping them does not
/// end it.
#[derive(Debug, Clone)]
pub struct Process {
    pid: Pid,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts `command` in its own process group, so that Ctrl-C at the terminal does not reach it.
    ///
    /// A thread starts the child and waits for it as long as it runs: for [`die_with_parent`] the
    /// kernel takes the thread that forked as the parent.
    ///
    /// # Errors
    ///
    /// If the program cannot be run.
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

    /// Process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Exit status; `None` while the process runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Waits until the process has ended, for at most `limit`. Returns `true` if it has.
    pub async fn ended_within(&mut self, limit: Duration) -> bool {
        // The sender is dropped with the thread, which ends with the child: an error means that the
        // child has ended as well.
        tokio::time::timeout(limit, self.ended.wait_for(Option::is_some)).await.is_ok()
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&self, signal: Signal) {
        if self.exit_status().is_none() {
            let _ = kill(self.pid, signal);
        }
    }
}

/// Makes the kernel send the child a signal when its parent dies. Start the command with
/// [`Process::start`].
///
/// On Linux only; elsewhere this does nothing.
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

/// Does nothing: only Linux can signal the child of a process that dies.
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent(_command: &mut Command, _signal: Signal) {}

/// Returns `true` if a process with this id exists.
pub(crate) fn is_alive(pid: Pid) -> bool {
    !matches!(kill(pid, None), Err(Errno::ESRCH))
}

/// Waits until a process that is not a child of this one has ended, for at most `limit`. Returns
/// `true` if it has.
pub(crate) async fn gone_within(pid: Pid, limit: Duration) -> bool {
    let waiting = async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, waiting).await.is_ok()
}
