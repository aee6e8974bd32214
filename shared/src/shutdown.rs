//! Ending well: SIGTERM or Ctrl-C cancels a token; whoever holds it drains and returns.

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT.
///
/// # Errors
/// When the process cannot listen for signals.
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

/// Spawns a task that the process cannot do without: when it panics, the process drains, and its
/// owner learns of it by the handle and ends the process with an error, so that it is started anew.
/// A task that is replaceable (one request, one batch) is spawned by itself: a panic ends it alone.
pub fn spawn_essential<T: Send + 'static>(
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
            tracing::error!(task = self.name, "essential task panicked, draining");
            self.shutdown.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "the tasks fail on purpose")]

    use super::*;

    #[tokio::test]
    async fn drains_process_when_essential_task_panics() {
        let shutdown = CancellationToken::new();
        let task = spawn_essential("test", &shutdown, async { panic!("on purpose") });
        task.await.expect_err("a panic");
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn does_not_drain_when_essential_task_ends() {
        let shutdown = CancellationToken::new();
        spawn_essential("test", &shutdown, async {}).await.expect("no panic");
        assert!(!shutdown.is_cancelled());
    }

    /// The profile that images are built with decides that panics unwind.
    #[test]
    fn unwinds_panics_in_release_builds() {
        let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).expect("the workspace's manifest");
        let (_, release) = manifest.split_once("[profile.release]").expect("the profile");
        assert!(
            !release.contains("panic = \"abort\""),
            "a panic in a handler would end the process"
        );
    }
}
