//! Messages delivered again: a queue of its own hears everything that is published, and puts it on
//! its topic once more.

use std::{collections::BTreeMap, time::Duration};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use shared::bus::{Message, QueueSpec, Received, Settlement, SharedBus, Subscription, Topology};

use super::{checker::Made, load, record};
use crate::{House, Person};

const TOPICS: [&str; 2] = ["event-topic", "notification-topic"];

/// Hears every message of the suite.
pub struct Copies {
    bus: SharedBus,
}

fn queue(topic: &str) -> String {
    format!("copies-of-{topic}")
}

impl Copies {
    /// Begins to hear.
    ///
    /// # Panics
    /// When the queue cannot be made.
    pub async fn begin(house: &House) -> Self {
        let bus = house.bus().await;
        let hears = |topic: &str| QueueSpec {
            queue: queue(topic),
            max_receive_count: 10,
            subscriptions: vec![Subscription { topic: topic.to_owned(), filter: BTreeMap::new() }],
        };
        let topology = Topology { topics: Vec::new(), queues: TOPICS.map(hears).to_vec() };
        bus.ensure(&topology).await.expect("the queues of copies are made");
        Self { bus }
    }

    /// Publishes what was heard since the last time again, in another order; how many messages. A
    /// bus that is away is left alone.
    pub async fn publish_again(&self, rng: &mut StdRng) -> usize {
        let mut number = 0;
        for topic in TOPICS {
            let Ok(mut heard) = self.take(topic).await else { continue };
            heard.shuffle(rng);
            for some in heard.chunks(100) {
                number += self.bus.publish(topic, some).await.map_or(0, |results| results.len());
            }
            // What was published again was heard again: it is not to be published without end.
            let _ = self.take(topic).await;
        }
        number
    }

    async fn take(&self, topic: &str) -> Result<Vec<Message>, shared::bus::Error> {
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

/// Makes reminders, waits until they have arrived, and delivers every message once more.
pub(super) async fn everything_again(house: &House, users: &[Person]) -> Vec<Made> {
    let copies = Copies::begin(house).await;
    let made = load::some(users, 10, 2).await;
    record::settle(house, &made, Duration::from_secs(30)).await;
    let mut rng = StdRng::seed_from_u64(1);
    assert!(copies.publish_again(&mut rng).await > 0, "there is something to deliver again");
    record::queues_are_empty(house).await;
    made
}
