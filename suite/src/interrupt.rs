//! Ctrl-C, SIGTERM and a closed terminal: the first signal stops the suite gracefully, the second
//! one at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status after the second signal: 128 + SIGINT, as in a shell.
const FORCED: i32 = 130;

/// Returns a token that the first signal cancels. The second signal ends the process; PostgreSQL, a
/// child process, then shuts down by itself, and no committed data is lost.
///
/// # Errors
/// If the process cannot listen for signals.
pub(crate) fn listen() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let first = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        };
        next().await;
        first.cancel();
        next().await;
        std::process::exit(FORCED);
    });
    Ok(token)
}
