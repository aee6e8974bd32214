//! Probe of a database that a request has waited for: does it answer at all?

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::time::{sleep, timeout};

/// Time after which a request that is not answered yet asks whether its database is there.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time in which a database answers to a new connection, as far as this process runs meanwhile.
const LIMIT: Duration = Duration::from_secs(1);
/// Parts of the limit. In a process that is short of processor time each of them takes longer.
const PARTS: u32 = 20;
/// Time for which one good answer serves everybody who asks.
const HOLD: Duration = Duration::from_millis(500);
/// Time for which a database that was found away is asked for at once.
const SUSPICION: Duration = Duration::from_secs(5);

/// Probe of one database. A statement on a connection that is open already waits without end when
/// the server is stopped or the network swallows packets; new connections tell.
///
/// A connection that is refused or reset says that the database is away. One that is slow does not:
/// on a busy machine it takes its time. It is waited for beside a second one, and the database is
/// away when neither is answered, although this process had the time to hear of it.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pool: PgPool,
    last: Arc<Mutex<Option<Answer>>>,
    /// Held while one asks, so that others share the answer.
    asking: Arc<tokio::sync::Mutex<()>>,
}

/// Answer to the last question, and its time.
#[derive(Debug, Clone, Copy)]
struct Answer {
    at: Instant,
    is_there: bool,
}

impl Probe {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, last: Arc::default(), asking: Arc::default() }
    }

    /// Ends when the database has been found away; never while it answers.
    pub(crate) async fn lost(&self) {
        if !self.is_suspected() {
            sleep(PATIENCE).await;
        }
        while self.answers().await {
            sleep(PATIENCE).await;
        }
    }

    async fn answers(&self) -> bool {
        let began = Instant::now();
        let _asking = self.asking.lock().await;
        if let Some(last) = self.last() {
            // The end of an outage is not missed: a bad answer serves those alone who waited for
            // it.
            let serves = if last.is_there { last.at.elapsed() < HOLD } else { last.at >= began };
            if serves {
                return last.is_there;
            }
        }
        let options = self.pool.connect_options();
        let is_there = is_there(|| connects(&options), LIMIT).await;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Answer { at: Instant::now(), is_there });
        is_there
    }

    fn last(&self) -> Option<Answer> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_suspected(&self) -> bool {
        self.last().is_some_and(|last| !last.is_there && last.at.elapsed() < SUSPICION)
    }
}

/// Returns whether one of two connections is answered: the first within twice the limit, or a
/// second one, begun when the first has waited for the limit.
async fn is_there<F: Future<Output = bool>>(connect: impl Fn() -> F, limit: Duration) -> bool {
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

/// Waits for a time in which this process is not held up: nobody hears of an answer meanwhile.
async fn running_for(limit: Duration) {
    for _ in 0..PARTS {
        sleep(limit / PARTS).await;
    }
}

/// Returns whether a database answers a new connection; waits for as long as it says nothing.
async fn connects(options: &PgConnectOptions) -> bool {
    match PgConnection::connect_with(options).await {
        Ok(connection) => {
            // The server is there, whatever becomes of the farewell.
            drop(timeout(LIMIT, connection.close()).await);
            true
        }
        // It answers, if only to refuse one more connection, or this password; unless it is about
        // to end.
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

    /// Longer than anything here takes, and shorter than a test may.
    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(10);

    /// Connections that go as the cases say, one after the other.
    async fn asks(cases: &[Option<bool>], limit: Duration) -> (bool, usize) {
        let made = AtomicUsize::new(0);
        let connect = async || match cases[made.fetch_add(1, Ordering::Relaxed)] {
            Some(answers) => answers,
            None => pending().await,
        };
        (is_there(connect, limit).await, made.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn asks_once_when_answered_or_refused() {
        assert_eq!(asks(&[Some(true)], LONG).await, (true, 1));
        assert_eq!(asks(&[Some(false)], LONG).await, (false, 1));
    }

    #[tokio::test]
    async fn asks_again_when_connection_is_slow() {
        assert_eq!(asks(&[None, Some(true)], SHORT).await, (true, 2));
        assert_eq!(asks(&[None, Some(false)], SHORT).await, (false, 2));
        assert_eq!(asks(&[None, None], SHORT).await, (false, 2));
    }

    #[tokio::test]
    async fn waits_for_answer_when_process_is_held_up() {
        let limit = SHORT * 50;
        let made = AtomicUsize::new(0);
        let connect = async || {
            made.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(limit * 2);
            tokio::task::yield_now().await;
            true
        };
        assert!(is_there(connect, limit).await);
        assert_eq!(made.into_inner(), 1);
    }

    #[tokio::test]
    async fn waits_for_slow_connection_beside_next() {
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
        // The first one is answered once there is a second.
        assert!(is_there(connect, SHORT * 50).await);
    }
}
