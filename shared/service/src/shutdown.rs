//! Graceful shutdown: SIGTERM or Ctrl-C cancels a token, and each holder of the token drains and
//! returns.

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Returns a token that is cancelled by the first SIGTERM or SIGINT.
///
/// # Errors
/// If the process cannot listen for signals.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutdown signal received, draining");
        cancelled.cancel();
    });
    Ok(token)
}

/// Spawns a task that the process cannot run without. If it panics, the process drains and ends
/// with an error, which the owner of the handle returns, so that it is restarted. A task that may
/// fail on its own (one request, one batch) is spawned by `tokio::spawn`.
pub fn spawn_critical<T: Send + 'static>(
    name: &'static str,
    shutdown: &CancellationToken,
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let guard = DrainOnPanic { name, shutdown: shutdown.clone() };
    tokio::spawn(async move {
        let _guard = guard;
        task.await
    })
}

struct DrainOnPanic {
    name: &'static str,
    shutdown: CancellationToken,
}

impl Drop for DrainOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "critical task panicked, draining");
            self.shutdown.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "the tasks fail on purpose")]

    use super::*;

    #[tokio::test]
    async fn drains_process_when_critical_task_panics() {
        let shutdown = CancellationToken::new();
        let task = spawn_critical("test", &shutdown, async { panic!("on purpose") });
        task.await.expect_err("a panic");
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn does_not_drain_when_critical_task_ends() {
        let shutdown = CancellationToken::new();
        spawn_critical("test", &shutdown, async {}).await.expect("no panic");
        assert!(!shutdown.is_cancelled());
    }

    /// The profile of image builds must unwind panics.
    #[test]
    fn unwinds_panics_in_release_builds() {
        let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).expect("the workspace's manifest");
        let (_, release) = manifest.split_once("[profile.release]").expect("the profile");
        assert!(
            !release.contains("panic = \"abort\""),
            "a panic in a handler would end the process"
        );
    }
}
