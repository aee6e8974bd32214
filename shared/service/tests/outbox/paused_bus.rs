//! A bus whose publishes wait until it is resumed, and which records the messages of each publish.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bus::{
    Bus, Depth, Error, Message, PublishError, Receipt, Received, Settlement, SharedBus, Topology,
};
use tokio::sync::Semaphore;

pub(crate) struct PausedBus {
    bus: SharedBus,
    permits: Semaphore,
    /// Users of the messages, in the order in which their publish started.
    users: Mutex<Vec<String>>,
}

impl PausedBus {
    pub(crate) fn paused(bus: SharedBus) -> Arc<Self> {
        Arc::new(Self { bus, permits: Semaphore::new(0), users: Mutex::default() })
    }

    pub(crate) fn resume(&self) {
        self.permits.add_permits(1_000);
    }

    /// Number of messages of a user whose publish started.
    pub(crate) fn started(&self, user: &str) -> usize {
        self.users
            .lock()
            .expect("no test panicked with it")
            .iter()
            .filter(|name| *name == user)
            .count()
    }

    /// Number of messages of `other` before the first one of `user`.
    pub(crate) fn count_before(&self, user: &str, other: &str) -> usize {
        self.users
            .lock()
            .expect("no test panicked with it")
            .iter()
            .take_while(|name| *name != user)
            .filter(|name| *name == other)
            .count()
    }
}

#[async_trait]
impl Bus for PausedBus {
    async fn publish(
        &self,
        topic: &str,
        messages: &[Message],
    ) -> Result<Vec<Result<(), PublishError>>, Error> {
        let users = messages.iter().map(|message| message.attributes["userId"].clone());
        self.users.lock().expect("no test panicked with it").extend(users);
        let _permit = self.permits.acquire().await.expect("the semaphore stays open");
        self.bus.publish(topic, messages).await
    }

    async fn send(
        &self,
        queue: &str,
        messages: &[Message],
        delay: Duration,
    ) -> Result<Vec<Result<(), PublishError>>, Error> {
        self.bus.send(queue, messages, delay).await
    }

    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, Error> {
        self.bus.receive(queue, max, visibility, wait).await
    }

    async fn settle(
        &self,
        queue: &str,
        settlements: Vec<(Received, Settlement)>,
    ) -> Result<(), Error> {
        self.bus.settle(queue, settlements).await
    }

    async fn extend(
        &self,
        queue: &str,
        receipts: &[Receipt],
        visibility: Duration,
    ) -> Result<(), Error> {
        self.bus.extend(queue, receipts, visibility).await
    }

    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        self.bus.depth(queue).await
    }

    async fn dead_letter_depth(&self, queue: &str) -> Result<Depth, Error> {
        self.bus.dead_letter_depth(queue).await
    }

    async fn dead_letters(&self, queue: &str, max: usize) -> Result<Vec<Received>, Error> {
        self.bus.dead_letters(queue, max).await
    }

    async fn redrive(&self, queue: &str, max: usize) -> Result<u64, Error> {
        self.bus.redrive(queue, max).await
    }

    async fn purge_dead_letters(&self, queue: &str, kept: Duration) -> Result<u64, Error> {
        self.bus.purge_dead_letters(queue, kept).await
    }

    async fn erase_dead_letters(&self, queue: &str, user_id: &str) -> Result<u64, Error> {
        self.bus.erase_dead_letters(queue, user_id).await
    }

    async fn ensure(&self, topology: &Topology) -> Result<(), Error> {
        self.bus.ensure(topology).await
    }
}
