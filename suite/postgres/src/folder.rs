//! The cluster's folder: what lies where, who owns it, and who uses it now.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::Uid;
use sha2::{Digest, Sha256};

use crate::{Error, account::Account};

/// A log longer than this is begun anew at the next start.
const LOG_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// The folder as it was found or made, open to the account the server runs as.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    pub(crate) account: Option<Account>,
}

impl Folder {
    /// Makes `wanted` ready; when the server's account cannot get there, a folder below `/var/tmp`
    /// named after it.
    pub(crate) fn prepare(wanted: &Path) -> Result<Self, Error> {
        fs::create_dir_all(wanted).map_err(Error::file("make the folder", wanted))?;
        let wanted = wanted.canonicalize().map_err(Error::file("resolve", wanted))?;
        let account = Account::needed()?;
        let root = match &account {
            Some(account) => {
                account.own(&wanted).map_err(Error::file("hand over", &wanted))?;
                if account.can_enter(&wanted) { wanted } else { elsewhere(&wanted, account)? }
            }
            None => wanted,
        };
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700))
            .map_err(Error::file("close to others", &root))?;
        Ok(Self { root, account })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.root.join("password")
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.root.join("server")
    }

    /// The port used last, and where the next one is noted.
    pub(crate) fn port_file(&self) -> PathBuf {
        self.root.join("port")
    }

    /// The server we started last: its process id and in which way of life.
    pub(crate) fn started_file(&self) -> PathBuf {
        self.root.join("started")
    }

    /// Takes the folder for this process. The lock goes with the returned file, or with the
    /// process.
    pub(crate) fn try_lock(&self) -> Result<Option<File>, Error> {
        let path = self.root.join("lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(Error::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(Error::file("lock", &path)(source)),
        }
    }

    /// The superuser's password, generated at the first call.
    pub(crate) fn password(&self) -> Result<String, Error> {
        let path = self.password_file();
        if path.exists() {
            let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
            return Ok(text.trim().to_owned());
        }
        let password = format!("{:032x}", rand::random::<u128>());
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
        let mut file = file.map_err(Error::file("make", &path))?;
        writeln!(file, "{password}").map_err(Error::file("write", &path))?;
        self.own(&path)?;
        Ok(password)
    }

    /// The log, open for appending.
    pub(crate) fn open_log(&self) -> Result<File, Error> {
        let path = self.log();
        let long = fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT_BYTES);
        if long {
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::file("open", &path))
    }

    /// The log from byte `start` on.
    pub(crate) fn log_since(&self, start: u64) -> String {
        let bytes = fs::read(self.log()).unwrap_or_default();
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        match &self.account {
            Some(account) => account.own(path).map_err(Error::file("hand over", path)),
            None => Ok(()),
        }
    }
}

/// A folder of ours below `/var/tmp`, which every account can enter. The name is the same for the
/// same path.
fn elsewhere(wanted: &Path, account: &Account) -> Result<PathBuf, Error> {
    let digest = Sha256::digest(wanted.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let root = Path::new("/var/tmp").join(format!("private-postgres-{name}"));
    match DirBuilder::new().mode(0o700).create(&root) {
        Ok(()) => account.own(&root).map_err(Error::file("hand over", &root))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            refuse_foreign(&root, account)?
        }
        Err(error) => return Err(Error::file("make the folder", &root)(error)),
    }
    tracing::warn!(
        wanted = %wanted.display(), used = %root.display(), account = %account.name,
        "database is stored in another folder, its account cannot enter the wanted one"
    );
    Ok(root)
}

/// Anyone may write to `/var/tmp`: what lies there already must be a folder of ours, not a link and
/// not another's.
fn refuse_foreign(root: &Path, account: &Account) -> Result<(), Error> {
    let metadata = fs::symlink_metadata(root).map_err(Error::file("look at", root))?;
    let ours = metadata.uid() == account.uid() || metadata.uid() == Uid::effective().as_raw();
    if metadata.is_dir() && ours {
        return account.own(root).map_err(Error::file("hand over", root));
    }
    Err(Error::file("use", root)(std::io::Error::other("it belongs to somebody else")))
}
