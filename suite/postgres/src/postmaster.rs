//! The server that runs on a data folder: `postmaster.pid`, and a note of the server that this
//! library started last.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Error, folder::Folder, process};

/// Longest time for the fast shutdown of a server without an owner.
const ORPHAN_LIMIT: Duration = Duration::from_secs(60);

/// Lifetime of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// The server ends with the process that started it.
    Owned,
    /// The server keeps running when the process that started it ends.
    Shared,
}

/// A running server on the folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Postmaster {
    pub(crate) pid: Pid,
    /// Port; unknown while the server starts.
    pub(crate) port: Option<u16>,
}

/// Finds the running server on the folder. A `postmaster.pid` whose process has ended, or is
/// another program by now, does not count.
pub(crate) fn find(folder: &Folder) -> Option<Postmaster> {
    let text = fs::read_to_string(folder.data().join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid = Pid::from_raw(lines.next()?.trim().parse().ok()?);
    // The lines are pid, data folder, start time, port: see miscadmin.h of PostgreSQL.
    let port = lines.nth(2).and_then(|line| line.trim().parse().ok());
    (process::is_alive(pid) && runs_postgres(pid, &folder.data()))
        .then_some(Postmaster { pid, port })
}

/// Writes a note of the server that was just started.
pub(crate) fn note(folder: &Folder, pid: Pid, lifetime: Lifetime) -> Result<(), Error> {
    let path = folder.started_file();
    fs::write(&path, format!("{pid} {lifetime:?}\n")).map_err(Error::file("write", &path))
}

/// Returns the lifetime of the server with this process id, if this library started it.
pub(crate) fn noted(folder: &Folder, pid: Pid) -> Option<Lifetime> {
    let text = fs::read_to_string(folder.started_file()).ok()?;
    let (noted, lifetime) = text.trim().split_once(' ')?;
    (noted.parse() == Ok(pid.as_raw())).then_some(if lifetime == "Shared" {
        Lifetime::Shared
    } else {
        Lifetime::Owned
    })
}

/// Stops an owned server whose owner was killed. The caller holds the lock of the folder, so the
/// server has no owner.
pub(crate) async fn end_orphan(folder: &Folder) -> Result<(), Error> {
    let Some(server) = find(folder) else {
        return Ok(());
    };
    let dir = folder.root.clone();
    if noted(folder, server.pid) != Some(Lifetime::Owned) {
        return Err(Error::Running { dir, pid: server.pid.as_raw() });
    }
    tracing::info!(pid = server.pid.as_raw(), "stopping the PostgreSQL server of an earlier run");
    stop(server.pid, &dir, ORPHAN_LIMIT).await
}

/// Removes a `postmaster.pid` without a server. Returns `true` if there was one: the server did not
/// end cleanly.
pub(crate) fn clear_stale(folder: &Folder) -> Result<bool, Error> {
    let path = folder.data().join("postmaster.pid");
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("remove", &path)(error)),
    }
}

/// Stops a server that is not a child of this process by fast shutdown.
pub(crate) async fn stop(pid: Pid, dir: &Path, limit: Duration) -> Result<(), Error> {
    let _ = kill(pid, Signal::SIGINT);
    if process::gone_within(pid, limit).await {
        return Ok(());
    }
    Err(Error::NotStopped { dir: dir.to_owned(), pid: pid.as_raw() })
}

/// Returns `true` if the process is a server on this data folder, since process ids are reused.
fn runs_postgres(pid: Pid, data: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok().or_else(|| {
        let mut ps = Command::new("ps");
        ps.args(["-ww", "-o", "command=", "-p", &pid.to_string()]);
        ps.stdin(Stdio::null()).stderr(Stdio::null()).output().ok().map(|output| output.stdout)
    });
    line.is_some_and(|line| {
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("postgres") && line.contains(&*data.to_string_lossy())
    })
}
