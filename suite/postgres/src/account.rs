//! Account that the server runs as.

use std::{
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid, User, chown};

use crate::Error;

/// An unprivileged account, for a server that root starts.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) name: String,
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// Returns the account to switch to; none if this process is not root.
    pub(crate) fn needed() -> Result<Option<Self>, Error> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        let known = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten());
        let user = known.ok_or(Error::NoAccount)?;
        Ok(Some(Self { name: user.name, uid: user.uid, gid: user.gid }))
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    pub(crate) fn apply(&self, command: &mut Command) {
        command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
    }

    pub(crate) fn own(&self, path: &Path) -> io::Result<()> {
        Ok(chown(path, Some(self.uid), Some(self.gid))?)
    }

    /// Returns `true` if this account can enter `dir`. It tries, since permissions, ACLs and mounts
    /// all matter.
    pub(crate) fn can_enter(&self, dir: &Path) -> bool {
        let mut enter = Command::new("/bin/sh");
        enter.args(["-c", ":"]).current_dir(dir);
        enter.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.apply(&mut enter);
        enter.status().is_ok_and(|status| status.success())
    }
}
