//! Open files of the process: each connection is one, and what has none left can neither accept nor
//! ask its database.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that a process needs beside its REST connections: database, bus, providers, the admin
/// port.
const RESERVED: u64 = 512;
/// Connections that are accepted however low the limit is.
const LEAST: usize = 64;

/// Raises the limit to what the system allows, as far as that is: the default of many systems is
/// 1,024.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::debug!(error = %error, "limit of open files was not raised");
    }
}

/// The connections that may be open at once, where so many are wanted.
#[must_use]
pub fn connections(wanted: usize) -> usize {
    let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let possible = usize::try_from(soft.saturating_sub(RESERVED)).unwrap_or(usize::MAX).max(LEAST);
    if possible < wanted {
        tracing::warn!(
            wanted,
            possible,
            open_files = soft,
            "limit of open files is too low, fewer connections than MAX_CONNECTIONS are served"
        );
    }
    wanted.min(possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_the_limit_of_open_files() {
        raise_limit();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert_eq!(soft, hard);
        assert_eq!(connections(1), 1);
        assert!(connections(usize::MAX) as u64 <= soft.max(LEAST as u64));
    }
}
