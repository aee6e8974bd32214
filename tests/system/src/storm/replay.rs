//! Repeated delivery: queues of the test receive every message, and publish it to its topic again.

use std::{collections::BTreeMap, time::Duration};

use bus::{Message, QueueSpec, Received, Settlement, SharedBus, Subscription, Topology};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{checker::CreatedReminder, evidence, load};
use crate::{TestSuite, TestUser};

const TOPICS: [&str; 2] = ["event-topic", "notification-topic"];

/// Receives and republishes every message of the suite.
pub struct Replayer {
    bus: SharedBus,
}

fn queue(topic: &str) -> String {
    format!("copies-of-{topic}")
}

impl Replayer {
    /// Creates the queues.
    ///
    /// # Panics
    /// If a queue cannot be created.
    pub async fn start(suite: &TestSuite) -> Self {
        let bus = suite.bus().await;
        let spec = |topic: &str| QueueSpec {
            queue: queue(topic),
            max_receive_count: 10,
            subscriptions: vec![Subscription { topic: topic.to_owned(), filter: BTreeMap::new() }],
        };
        let topology = Topology { topics: Vec::new(), queues: TOPICS.map(spec).to_vec() };
        bus.ensure(&topology).await.expect("the queues are created");
        Self { bus }
    }

    /// Republishes the messages since the last call in another order, and returns their number.
    /// Skips a topic if the bus does not answer.
    pub async fn replay(&self, rng: &mut StdRng) -> usize {
        let mut number = 0;
        for topic in TOPICS {
            let Ok(mut messages) = self.take(topic).await else { continue };
            messages.shuffle(rng);
            for batch in messages.chunks(100) {
                number += self.bus.publish(topic, batch).await.map_or(0, |results| results.len());
            }
            // The republished messages were received too, and must not be published again.
            let _ = self.take(topic).await;
        }
        number
    }

    async fn take(&self, topic: &str) -> Result<Vec<Message>, bus::Error> {
        let mut messages = Vec::new();
        loop {
            let batch = self
                .bus
                .receive(&queue(topic), 500, Duration::from_secs(10), Duration::ZERO)
                .await?;
            if batch.is_empty() {
                return Ok(messages);
            }
            let copy = |received: &Received| Message {
                body: received.body.clone(),
                attributes: received.attributes.clone(),
            };
            messages.extend(batch.iter().map(copy));
            let done = batch.into_iter().map(|received| (received, Settlement::Done)).collect();
            self.bus.settle(&queue(topic), done).await?;
        }
    }
}

/// Creates reminders, waits until they have arrived, and delivers every message again.
pub(super) async fn replay_all(suite: &TestSuite, users: &[TestUser]) -> Vec<CreatedReminder> {
    let replayer = Replayer::start(suite).await;
    let created = load::create_due_in(users, 10, 2).await;
    evidence::settle(suite, &created, Duration::from_secs(30)).await;
    let mut rng = StdRng::seed_from_u64(1);
    assert!(replayer.replay(&mut rng).await > 0, "there are messages to replay");
    evidence::wait_for_empty_queues(suite).await;
    created
}
