//! Limit of open files. Each connection is an open file, and a process at the limit can neither
//! accept connections nor connect to its database.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Number of files that a process needs beside its REST connections: database, bus, providers, the
/// admin port.
const RESERVED: u64 = 512;
/// Number of connections that are accepted even if the limit is low.
const MIN_CONNECTIONS: usize = 64;

/// Raises the limit to the maximum that the system allows; the default of many systems is 1,024.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::debug!(error = %error, "limit of open files was not raised");
    }
}

/// Returns the number of connections that may be open at once, at most `wanted`.
#[must_use]
pub fn connections(wanted: usize) -> usize {
    let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let possible =
        usize::try_from(soft.saturating_sub(RESERVED)).unwrap_or(usize::MAX).max(MIN_CONNECTIONS);
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
    fn stays_within_limit_of_open_files() {
        raise_limit();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert_eq!(soft, hard);
        assert_eq!(connections(1), 1);
        assert!(connections(usize::MAX) as u64 <= soft.max(MIN_CONNECTIONS as u64));
    }
}
