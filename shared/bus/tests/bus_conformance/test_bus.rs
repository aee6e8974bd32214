//! A bus for one test: a topic with two queues on one of the adapters.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_sqs::types::QueueAttributeName;
use bus::{
    BusSettings, Message, Packing, QueueSpec, Received, Settlement, SharedBus, Subscription,
    Topology,
    settings::{AwsCredentials, AwsSettings, PostgresSettings, sdk_config},
};
use support::{
    ministack::{CREDENTIALS, MiniStack, REGION},
    postgres::Database,
};

/// Number of receipts after which a message is a dead letter.
pub(super) const MAX_RECEIVE_COUNT: u32 = 3;
/// Longer than any test.
pub(super) const LONG: Duration = Duration::from_secs(300);
/// Longest wait for an expected message.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// Server of the bus, which is stopped with the test.
pub(super) enum Backend {
    Aws(MiniStack),
    Postgres(Database),
}

/// A bus on which `everything` is subscribed to `topic` without a filter, and `some` with the
/// filter `kind` ∈ {a, b} and `colour` ∈ {red}.
pub(super) struct TestBus {
    pub(super) adapter: SharedBus,
    pub(super) settings: BusSettings,
    pub(super) backend: Backend,
    pub(super) topology: Topology,
    pub(super) topic: String,
    pub(super) everything: String,
    pub(super) some: String,
}

impl TestBus {
    pub(super) async fn postgres() -> Self {
        let database = support::postgres::database("bus").await;
        let settings = BusSettings::Postgres(PostgresSettings {
            url: database.url().into(),
            max_connections: 8,
        });
        let names = ["topic", "everything", "some"].map(str::to_owned);
        Self::on(Backend::Postgres(database), settings, names).await
    }

    pub(super) async fn aws() -> Self {
        let ministack = MiniStack::start().await;
        let settings = aws_settings(ministack.endpoint());
        let config = sdk_config(&settings).await;
        let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
        let topic = sns.create_topic().name("topic").send().await.unwrap().topic_arn.unwrap();
        let mut urls = Vec::new();
        for (name, filter) in [("everything", BTreeMap::new()), ("some", filter())] {
            let (url, arn) = create_queue(&sqs, name).await;
            let subscribe = sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(arn);
            let mut subscribe = subscribe.attributes("RawMessageDelivery", "true");
            if !filter.is_empty() {
                subscribe =
                    subscribe.attributes("FilterPolicy", serde_json::to_string(&filter).unwrap());
            }
            subscribe.send().await.unwrap();
            urls.push(url);
        }
        let [everything, some] = urls.try_into().unwrap();
        Self::on(Backend::Aws(ministack), BusSettings::Aws(settings), [topic, everything, some])
            .await
    }

    async fn on(
        backend: Backend,
        settings: BusSettings,
        [topic, everything, some]: [String; 3],
    ) -> Self {
        let queue = |queue: &String, filter| QueueSpec {
            queue: queue.clone(),
            max_receive_count: MAX_RECEIVE_COUNT,
            subscriptions: vec![Subscription { topic: topic.clone(), filter }],
        };
        let queues = vec![queue(&everything, BTreeMap::new()), queue(&some, filter())];
        let topology = Topology { topics: vec![topic.clone()], queues };
        let adapter = bus::connect(&settings, &Packing::default()).await.unwrap();
        adapter.ensure(&topology).await.unwrap();
        Self { adapter, settings, backend, topology, topic, everything, some }
    }

    /// Publishes messages, and expects that all are accepted.
    pub(super) async fn publish(&self, messages: &[Message]) {
        let results = self.adapter.publish(&self.topic, messages).await.unwrap();
        assert_eq!(results, vec![Ok(()); messages.len()]);
    }

    /// Publishes one message, and receives it from `everything`.
    pub(super) async fn publish_and_receive(
        &self,
        message: Message,
        visibility: Duration,
    ) -> Received {
        self.publish(&[message]).await;
        self.receive_one(visibility).await
    }

    /// Receives the only message of `everything`.
    pub(super) async fn receive_one(&self, visibility: Duration) -> Received {
        let mut received =
            self.adapter.receive(&self.everything, 10, visibility, LIMIT).await.unwrap();
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }

    /// Expects that no message is received from `everything` for a time.
    pub(super) async fn expect_no_message_for(&self, wait: Duration) {
        let received = self.adapter.receive(&self.everything, 10, LONG, wait).await.unwrap();
        assert!(received.is_empty(), "{received:?}");
    }

    pub(super) async fn settle(&self, message: Received, settlement: Settlement) {
        self.adapter.settle(&self.everything, vec![(message, settlement)]).await.unwrap();
    }

    /// Receives and removes `number` messages of a queue.
    pub(super) async fn drain(&self, queue: &str, number: usize) -> Vec<Received> {
        let mut all = Vec::new();
        while all.len() < number {
            let received = self.adapter.receive(queue, 100, LONG, LIMIT).await.unwrap();
            assert!(!received.is_empty(), "only {} of {number} messages were received", all.len());
            let done =
                received.iter().cloned().map(|message| (message, Settlement::Done)).collect();
            self.adapter.settle(queue, done).await.unwrap();
            all.extend(received);
        }
        assert_eq!(all.len(), number);
        all
    }
}

pub(super) fn aws_settings(endpoint: &str) -> AwsSettings {
    let (key_id, secret) = CREDENTIALS;
    AwsSettings {
        region: REGION.to_owned(),
        endpoint_url: Some(endpoint.to_owned()),
        credentials: Some(AwsCredentials::fixed(key_id, secret)),
        ..AwsSettings::default()
    }
}

/// Creates a queue with its dead-letter queue; returns URL and ARN.
pub(super) async fn create_queue(sqs: &aws_sdk_sqs::Client, name: &str) -> (String, String) {
    let (_, dead_letters) = create_plain_queue(sqs, &format!("{name}-dlq")).await;
    let (url, arn) = create_plain_queue(sqs, name).await;
    let policy = serde_json::json!({
        "deadLetterTargetArn": dead_letters,
        "maxReceiveCount": MAX_RECEIVE_COUNT
    });
    let set = sqs.set_queue_attributes().queue_url(&url);
    set.attributes(QueueAttributeName::RedrivePolicy, policy.to_string()).send().await.unwrap();
    (url, arn)
}

async fn create_plain_queue(sqs: &aws_sdk_sqs::Client, name: &str) -> (String, String) {
    let url = sqs.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap();
    let get =
        sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
    let arn = get
        .send()
        .await
        .unwrap()
        .attributes
        .unwrap()
        .remove(&QueueAttributeName::QueueArn)
        .unwrap();
    (url, arn)
}

fn filter() -> BTreeMap<String, Vec<String>> {
    let values = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    BTreeMap::from([
        ("kind".to_owned(), values(&["a", "b"])),
        ("colour".to_owned(), values(&["red"])),
    ])
}

/// A message with a number in its body.
pub(super) fn message(number: usize, attributes: &[(&str, &str)]) -> Message {
    let attributes = attributes.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Message { body: format!("{{\"number\":{number}}}"), attributes: attributes.collect() }
}

pub(super) fn messages(number: usize) -> Vec<Message> {
    (0..number).map(|number| message(number, &[("kind", "a")])).collect()
}

/// Numbers in the bodies of [`message`]s, sorted.
pub(super) fn numbers(received: &[Received]) -> Vec<usize> {
    let mut numbers: Vec<usize> = received
        .iter()
        .map(|message| {
            let body: serde_json::Value = serde_json::from_str(&message.body).unwrap();
            body["number"].as_u64().unwrap() as usize
        })
        .collect();
    numbers.sort_unstable();
    numbers
}
