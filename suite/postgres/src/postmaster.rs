//! Who runs on a data folder: `postmaster.pid`, and our own note of the server we started last.

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

/// How long an orphan may take for its fast shutdown.
const ORPHAN_LIMIT: Duration = Duration::from_secs(60);

/// A server's way of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It ends with the process that started it.
    Owned,
    /// It outlives the process that started it.
    Shared,
}

/// A live server on the folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Postmaster {
    pub(crate) pid: Pid,
    /// Where it listens; not there yet while it starts.
    pub(crate) port: Option<u16>,
}

/// The live server on the folder, if there is one. A `postmaster.pid` whose process is gone, or is
/// another program by now, counts as none.
pub(crate) fn find(folder: &Folder) -> Option<Postmaster> {
    let text = fs::read_to_string(folder.data().join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid = Pid::from_raw(lines.next()?.trim().parse().ok()?);
    // pid, data folder, start time, port: see the server's miscadmin.h.
    let port = lines.nth(2).and_then(|line| line.trim().parse().ok());
    (process::is_alive(pid) && runs_postgres(pid, &folder.data()))
        .then_some(Postmaster { pid, port })
}

/// Notes the server that was just started.
pub(crate) fn note(folder: &Folder, pid: Pid, life: Life) -> Result<(), Error> {
    let path = folder.started_file();
    fs::write(&path, format!("{pid} {life:?}\n")).map_err(Error::file("write", &path))
}

/// The way of life of the server with this process id, if it is one we started.
pub(crate) fn noted(folder: &Folder, pid: Pid) -> Option<Life> {
    let text = fs::read_to_string(folder.started_file()).ok()?;
    let (noted, life) = text.trim().split_once(' ')?;
    (noted.parse() == Ok(pid.as_raw())).then_some(if life == "Shared" {
        Life::Shared
    } else {
        Life::Owned
    })
}

/// Ends what a killed run of ours left running. The caller holds the folder's lock, so an owned
/// server has no owner.
pub(crate) async fn end_orphan(folder: &Folder) -> Result<(), Error> {
    let Some(server) = find(folder) else {
        return Ok(());
    };
    let dir = folder.root.clone();
    if noted(folder, server.pid) != Some(Life::Owned) {
        return Err(Error::Running { dir, pid: server.pid.as_raw() });
    }
    tracing::info!(pid = server.pid.as_raw(), "stopping the PostgreSQL server of an earlier run");
    stop(server.pid, &dir, ORPHAN_LIMIT).await
}

/// Clears away a `postmaster.pid` without a server. Answers whether there was one: the server did
/// not end cleanly.
pub(crate) fn clear_stale(folder: &Folder) -> Result<bool, Error> {
    let path = folder.data().join("postmaster.pid");
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("remove", &path)(error)),
    }
}

/// Stops a server that is not our child by fast shutdown.
pub(crate) async fn stop(pid: Pid, dir: &Path, limit: Duration) -> Result<(), Error> {
    let _ = kill(pid, Signal::SIGINT);
    if process::gone_within(pid, limit).await {
        return Ok(());
    }
    Err(Error::NotStopped { dir: dir.to_owned(), pid: pid.as_raw() })
}

/// Whether the process is a server on this data folder: process ids are used again.
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
