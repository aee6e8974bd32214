//! Probe of a database that a request has waited for: does it answer at all?

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

/// Time after which a request that is not answered yet asks whether its database is there.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time in which a database answers to a new connection.
const LIMIT: Duration = Duration::from_secs(1);
/// Time for which one answer serves everybody who asks.
const HOLD: Duration = Duration::from_millis(500);

/// Probe of one database. A statement on a connection that is open already waits without end when
/// the server is stopped or the network swallows packets; a new connection tells within a second.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pool: PgPool,
    /// The last answer and its time. The lock is held while one asks, so that others share the answer.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Probe {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, last: Arc::default() }
    }

    /// Ends when the database has been found away; never while it answers.
    pub(crate) async fn lost(&self) {
        loop {
            sleep(PATIENCE).await;
            if !self.answers().await {
                return;
            }
        }
    }

    async fn answers(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, answers)) = *last
            && at.elapsed() < HOLD
        {
            return answers;
        }
        let answers = self.ask().await;
        *last = Some((Instant::now(), answers));
        answers
    }

    async fn ask(&self) -> bool {
        let options = self.pool.connect_options();
        match timeout(LIMIT, PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => {
                // The server is there, whatever becomes of the farewell.
                drop(timeout(LIMIT, connection.close()).await);
                true
            }
            // It answers, if only to refuse one more connection, or this password; unless it is about to end.
            Ok(Err(sqlx::Error::Database(error))) => !error.code().is_some_and(|code| code.starts_with("57P")),
            Ok(Err(_)) | Err(_) => false,
        }
    }
}
