//! Creation of the cluster.

use std::{fs, process::Stdio};

use crate::{Error, binaries::Binaries, folder::Folder, process};

/// Creates the cluster if the folder has none. `initdb` writes to another folder that is renamed at
/// the end, so that the cluster is complete or missing.
pub(crate) async fn ensure(
    folder: &Folder,
    binaries: &Binaries,
    durable: bool,
) -> Result<(), Error> {
    let data = folder.data();
    if data.join("PG_VERSION").exists() {
        return Ok(());
    }
    folder.password()?;
    let unfinished = folder.root.join("data.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::file("remove", &unfinished))?;
    }
    tracing::info!(
        dir = %folder.root.display(),
        version = binaries.major,
        "creating the PostgreSQL cluster"
    );
    let program = binaries.program("initdb");
    let mut initdb = process::command(&program, folder);
    initdb.arg("--pgdata").arg(&unfinished).arg("--pwfile").arg(folder.password_file());
    initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
    if !durable {
        initdb.arg("--no-sync");
    }
    initdb.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::process::Command::from(initdb)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Error::run(program))?;
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Initdb { dir: folder.root.clone(), output });
    }
    fs::rename(&unfinished, &data).map_err(Error::file("move into place", &data))
}
