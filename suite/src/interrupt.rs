//! Ctrl-C, SIGTERM, and a terminal that is closed: the first ends the suite in order, the second at
//! once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status after the second signal: 128 + SIGINT, as a shell would say it.
const FORCED: i32 = 130;

/// A token that is cancelled by the first signal. The second ends the process; PostgreSQL, being a
/// child, then shuts down by itself, and nothing that was committed is lost.
///
/// # Errors
/// When the process cannot listen for signals.
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
