//! The bus on PostgreSQL: pgmq's queues, with topics and subscriptions in the schema `bus`.
//!
//! The body of a message is stored as `jsonb` if it is a JSON object or array (so it is normalised:
//! equal as JSON, not byte by byte), else as a JSON string of its text. Its attributes are the
//! headers of pgmq. Topics and queues are named by the last segment of an ARN or URL, in lower
//! case. A topic without a subscribed queue accepts no messages: publishing to it is
//! [`Error::Unavailable`], so that the outbox keeps messages that no queue would receive.

mod dead_letters;
mod error;
mod install;
mod low_water_mark;
mod name;
mod pool;
mod publish;
mod queue;
mod receive;
mod settle;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use db::wake::Listener;
use dead_letters::Remove;
use queue::Queue;
use sqlx::PgPool;

use super::{
    Bus, Depth, Error, Message, PublishError, Receipt, Received, Settlement, Topology,
    settings::PostgresSettings,
};

/// Time limit of a call to the database, even if the connection hangs.
const CALL_LIMIT: Duration = Duration::from_secs(35);

/// Channel of notifications, whose payload is the name of a queue. bus.sql has it, too.
const CHANNEL: &str = "bus";

/// The adapter, one in each process.
#[derive(Debug)]
pub struct PostgresBus {
    pool: PgPool,
    queues: Arc<Queues>,
    /// Pool with the one connection that listens.
    listener_pool: PgPool,
    /// Listener, from the first idle queue on.
    listener: OnceLock<Listener>,
}

/// Queues of a process by name.
#[derive(Debug, Default)]
struct Queues(RwLock<HashMap<String, Arc<Queue>>>);

impl Queues {
    fn get(&self, name: String) -> Arc<Queue> {
        if let Some(queue) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Arc::clone(queue);
        }
        let mut queues = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(name.clone()).or_insert_with(|| Arc::new(Queue::new(name)));
        Arc::clone(queue)
    }

    /// Wakes the readers of a queue; of all queues if its name is not known.
    fn wake(&self, name: Option<&str>) {
        let queues = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for queue in queues.values().filter(|queue| name.is_none_or(|name| queue.name == name)) {
            queue.idle.wake();
        }
    }
}

impl PostgresBus {
    /// Creates an adapter that connects on first use.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] if the URL is malformed.
    pub fn new(settings: &PostgresSettings) -> Result<Self, Error> {
        let pool = pool::lazy(&settings.url, settings.max_connections)?;
        db::pool_metrics::report(&pool, "bus");
        let (queues, listener) = (Arc::default(), OnceLock::new());
        let listener_pool = pool::lazy(&settings.url, 1)?;
        Ok(Self { pool, queues, listener_pool, listener })
    }

    /// The listener that wakes readers of idle queues.
    fn listener(&self) -> &Listener {
        self.listener.get_or_init(|| {
            let queues = Arc::clone(&self.queues);
            Listener::start(self.listener_pool.clone(), CHANNEL, move |queue| queues.wake(queue))
        })
    }

    /// Returns the queue with the configured name or URL.
    fn queue(&self, given: &str) -> Result<Arc<Queue>, Error> {
        Ok(self.queues.get(name::of(given)?))
    }
}

/// Awaits a call to the database within [`CALL_LIMIT`].
async fn bounded<T>(
    action: &'static str,
    call: impl Future<Output = Result<T, sqlx::Error>> + Send,
) -> Result<T, Error> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(result) => result.map_err(|source| error::classify(action, source)),
        Err(elapsed) => Err(Error::Unavailable { action, source: elapsed.into() }),
    }
}

#[async_trait]
impl Bus for PostgresBus {
    async fn publish(
        &self,
        topic: &str,
        messages: &[Message],
    ) -> Result<Vec<Result<(), PublishError>>, Error> {
        self.publish_to(&name::of(topic)?, messages).await
    }

    async fn send(
        &self,
        queue: &str,
        messages: &[Message],
        delay: Duration,
    ) -> Result<Vec<Result<(), PublishError>>, Error> {
        self.send_to(&*self.queue(queue)?, messages, delay).await
    }

    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, Error> {
        self.receive_from(&*self.queue(queue)?, max, visibility, wait).await
    }

    async fn settle(
        &self,
        queue: &str,
        settlements: Vec<(Received, Settlement)>,
    ) -> Result<(), Error> {
        self.settle_in(&*self.queue(queue)?, settlements).await
    }

    async fn extend(
        &self,
        queue: &str,
        receipts: &[Receipt],
        visibility: Duration,
    ) -> Result<(), Error> {
        self.extend_in(&*self.queue(queue)?, receipts, visibility).await
    }

    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        self.depth_of(&*self.queue(queue)?).await
    }

    async fn dead_letter_depth(&self, queue: &str) -> Result<Depth, Error> {
        let dead_letters = format!("{}{}", self.queue(queue)?.name, name::DEAD_LETTERS);
        self.depth_of(&Queue::new(dead_letters)).await
    }

    async fn dead_letters(&self, queue: &str, max: usize) -> Result<Vec<Received>, Error> {
        self.peek_dead_letters(&*self.queue(queue)?, max).await
    }

    async fn redrive(&self, queue: &str, max: usize) -> Result<u64, Error> {
        self.redrive_into(&*self.queue(queue)?, max).await
    }

    async fn purge_dead_letters(&self, queue: &str, kept: Duration) -> Result<u64, Error> {
        self.remove_dead_letters(&*self.queue(queue)?, Remove::OlderThan(kept)).await
    }

    async fn erase_dead_letters(&self, queue: &str, user_id: &str) -> Result<u64, Error> {
        self.remove_dead_letters(&*self.queue(queue)?, Remove::OfUser(user_id)).await
    }

    async fn ensure(&self, topology: &Topology) -> Result<(), Error> {
        self.install(topology).await
    }
}
