//! The bus on AWS: SNS topics and SQS queues. Both are infrastructure: nothing is created here.
//!
//! Topics are named by ARN, queues by URL (a plain name is looked up in the same account).

mod batch;
mod config;
mod dead_letters;
mod ensure;
mod error;
mod publish;
mod queue;
mod receive;
mod settle;

use std::{
    collections::HashMap,
    sync::{Mutex, RwLock, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use backoff::Backoff;
use queue::Queue;

use super::{Bus, Depth, Error, Message, PublishError, Receipt, Received, Settlement, Topology};

pub use config::sdk_config;

/// Most entries of a batch call (SNS and SQS).
const BATCH: usize = 10;
/// Concurrent calls for one call of the port.
const CALLS: usize = 16;
/// Number of attempts for an entry that fails within a successful call.
const ATTEMPTS: u32 = 4;

/// The adapter, one in each process.
#[derive(Debug)]
pub struct AwsBus {
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    queues: RwLock<HashMap<String, Queue>>,
    /// URLs of queues whose last receive returned a full batch, with the bytes of the largest
    /// answer.
    full: Mutex<HashMap<String, usize>>,
    /// `true` until a topic or queue refuses messages with a group.
    names_groups: AtomicBool,
}

impl AwsBus {
    /// Creates an adapter with the configuration of the SDK for each service (see [`sdk_config`]).
    #[must_use]
    pub fn new(sns: &aws_config::SdkConfig, sqs: &aws_config::SdkConfig) -> Self {
        Self {
            sns: aws_sdk_sns::Client::new(sns),
            sqs: aws_sdk_sqs::Client::new(sqs),
            queues: RwLock::default(),
            full: Mutex::default(),
            names_groups: AtomicBool::new(true),
        }
    }
}

/// Back-off of entries that failed within a successful call.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(3_200));

/// Waits before the next attempt at an entry, after so many failures.
async fn pause(failures: u32) {
    tokio::time::sleep(BACKOFF.jittered_pause(failures)).await;
}

/// Converts a duration to whole seconds for SQS: rounded up, at most `max`.
fn seconds(duration: Duration, max: i32) -> i32 {
    let rounded = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i32::try_from(rounded).unwrap_or(max).min(max)
}

#[async_trait]
impl Bus for AwsBus {
    async fn publish(
        &self,
        topic: &str,
        messages: &[Message],
    ) -> Result<Vec<Result<(), PublishError>>, Error> {
        self.publish_to(topic, messages).await
    }

    async fn send(
        &self,
        queue: &str,
        messages: &[Message],
        delay: Duration,
    ) -> Result<Vec<Result<(), PublishError>>, Error> {
        self.send_to(queue, messages, delay).await
    }

    async fn receive(
        &self,
        queue: &str,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, Error> {
        self.receive_from(&self.queue_url(queue).await?, max, visibility, wait).await
    }

    async fn settle(
        &self,
        queue: &str,
        settlements: Vec<(Received, Settlement)>,
    ) -> Result<(), Error> {
        self.settle_in(queue, settlements).await
    }

    async fn extend(
        &self,
        queue: &str,
        receipts: &[Receipt],
        visibility: Duration,
    ) -> Result<(), Error> {
        self.extend_in(queue, receipts, visibility).await
    }

    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        self.depth_of(queue).await
    }

    async fn dead_letter_depth(&self, queue: &str) -> Result<Depth, Error> {
        self.depth_of(&self.dead_letters_url(queue).await?).await
    }

    async fn dead_letters(&self, queue: &str, max: usize) -> Result<Vec<Received>, Error> {
        self.peek_dead_letters(queue, max).await
    }

    async fn redrive(&self, queue: &str, max: usize) -> Result<u64, Error> {
        self.redrive_into(queue, max).await
    }

    async fn purge_dead_letters(&self, _queue: &str, _kept: Duration) -> Result<u64, Error> {
        Ok(0)
    }

    async fn erase_dead_letters(&self, _queue: &str, _user_id: &str) -> Result<u64, Error> {
        Ok(0)
    }

    async fn ensure(&self, topology: &Topology) -> Result<(), Error> {
        self.check(topology).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_seconds_up_within_maximum() {
        assert_eq!(seconds(Duration::ZERO, 20), 0);
        assert_eq!(seconds(Duration::from_millis(1), 20), 1);
        assert_eq!(seconds(Duration::from_secs(3), 20), 3);
        assert_eq!(seconds(Duration::MAX, 20), 20);
    }
}
