//! Probe that detects an unreachable database while a request waits for it.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::time::{sleep, timeout};

/// Time after which an unanswered request probes its database, and pause between probes.
const PROBE_AFTER: Duration = Duration::from_secs(1);
/// Time limit of a new connection, as far as this process runs meanwhile.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Number of sleeps that a limit is split into. Each takes longer if the process lacks processor
/// time.
const SLEEPS: u32 = 20;
/// Time for which a positive result is reused.
const RESULT_LIFETIME: Duration = Duration::from_millis(500);
/// Time after a negative result in which requests probe at once.
const SUSPICION: Duration = Duration::from_secs(5);

/// Probe of one database. A statement on an open connection waits forever if the server is stopped
/// or the network drops packets, so the probe opens new connections.
///
/// The database is unreachable if a connection is refused or reset. A slow connection alone is not
/// enough, as a busy machine takes long to accept one. A second connection is then opened beside
/// it, and the database is unreachable if neither is answered although this process had enough
/// processor time to receive the answer.
#[derive(Debug, Clone)]
pub struct Probe {
    pool: PgPool,
    last: Arc<Mutex<Option<ProbeResult>>>,
    /// Held during a probe, so that other callers share its result.
    probing: Arc<tokio::sync::Mutex<()>>,
}

/// Result of a probe, and its time.
#[derive(Debug, Clone, Copy)]
struct ProbeResult {
    at: Instant,
    is_reachable: bool,
}

impl Probe {
    /// Creates a probe of the database of a pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, last: Arc::default(), probing: Arc::default() }
    }

    /// Resolves once the database is found to be unreachable.
    pub async fn unreachable(&self) {
        if !self.is_suspected() {
            sleep(PROBE_AFTER).await;
        }
        while self.answers().await {
            sleep(PROBE_AFTER).await;
        }
    }

    async fn answers(&self) -> bool {
        let began = Instant::now();
        let _probing = self.probing.lock().await;
        if let Some(last) = self.last() {
            // A negative result is reused only by callers that waited for it, so that the end of an
            // outage is noticed at once.
            let is_reusable = if last.is_reachable {
                last.at.elapsed() < RESULT_LIFETIME
            } else {
                last.at >= began
            };
            if is_reusable {
                return last.is_reachable;
            }
        }
        let options = self.pool.connect_options();
        let is_reachable = is_reachable(|| connects(&options), CONNECT_LIMIT).await;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(ProbeResult { at: Instant::now(), is_reachable });
        is_reachable
    }

    fn last(&self) -> Option<ProbeResult> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_suspected(&self) -> bool {
        self.last().is_some_and(|last| !last.is_reachable && last.at.elapsed() < SUSPICION)
    }
}

/// Returns whether one of two connections is answered: the first within twice the limit, or a
/// second one, opened when the first has waited for the limit.
async fn is_reachable<F: Future<Output = bool>>(connect: impl Fn() -> F, limit: Duration) -> bool {
    let mut first = pin!(connect());
    tokio::select! {
        biased;
        answers = &mut first => return answers,
        () = running_for(limit) => {}
    }
    tokio::select! {
        biased;
        true = &mut first => true,
        answers = connect() => answers,
        () = running_for(limit) => false,
    }
}

/// Waits for a time in which this process runs, and so could have received an answer.
async fn running_for(limit: Duration) {
    for _ in 0..SLEEPS {
        sleep(limit / SLEEPS).await;
    }
}

/// Returns whether a database answers a new connection; waits as long as there is no answer.
async fn connects(options: &PgConnectOptions) -> bool {
    match PgConnection::connect_with(options).await {
        Ok(connection) => {
            // The server is reachable, whatever the result of closing the connection.
            drop(timeout(CONNECT_LIMIT, connection.close()).await);
            true
        }
        // An error of the server is an answer too, unless the server is shutting down.
        Err(sqlx::Error::Database(error)) => {
            !error.code().is_some_and(|code| code.starts_with("57P"))
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::sync::Notify;

    use super::*;

    /// Longer than any probe here, and shorter than the time limit of a test.
    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(10);

    /// Probes with connections that answer as the cases say, one after the other; returns the
    /// result and the number of connections.
    async fn probe(cases: &[Option<bool>], limit: Duration) -> (bool, usize) {
        let made = AtomicUsize::new(0);
        let connect = async || match cases[made.fetch_add(1, Ordering::Relaxed)] {
            Some(answers) => answers,
            None => pending().await,
        };
        (is_reachable(connect, limit).await, made.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn connects_once_when_answered_or_refused() {
        assert_eq!(probe(&[Some(true)], LONG).await, (true, 1));
        assert_eq!(probe(&[Some(false)], LONG).await, (false, 1));
    }

    #[tokio::test]
    async fn connects_again_when_connection_is_slow() {
        assert_eq!(probe(&[None, Some(true)], SHORT).await, (true, 2));
        assert_eq!(probe(&[None, Some(false)], SHORT).await, (false, 2));
        assert_eq!(probe(&[None, None], SHORT).await, (false, 2));
    }

    #[tokio::test]
    async fn waits_for_answer_when_process_is_busy() {
        let limit = SHORT * 50;
        let made = AtomicUsize::new(0);
        let connect = async || {
            made.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(limit * 2);
            tokio::task::yield_now().await;
            true
        };
        assert!(is_reachable(connect, limit).await);
        assert_eq!(made.into_inner(), 1);
    }

    #[tokio::test]
    async fn waits_for_slow_connection_beside_second() {
        let (again, made) = (Notify::new(), AtomicUsize::new(0));
        let connect = async || {
            if made.fetch_add(1, Ordering::Relaxed) == 0 {
                again.notified().await;
            } else {
                again.notify_one();
                pending::<()>().await;
            }
            true
        };
        // The first connection is answered once there is a second.
        assert!(is_reachable(connect, SHORT * 50).await);
    }
}
