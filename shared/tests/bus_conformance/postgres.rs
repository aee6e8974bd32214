//! What only the postgres adapter does.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use shared::bus::{
    self, BusSettings, Error, QueueSpec, Subscription, Topology, settings::PostgresSettings,
};

use super::test_bus::{Behind, LIMIT, LONG, Stage, messages, numbers};

#[tokio::test]
async fn several_processes_may_set_it_up_at_once() {
    let database = support::postgres::database("bus").await;
    let settings =
        BusSettings::Postgres(PostgresSettings { url: database.url().into(), max_connections: 1 });
    let subscriptions = vec![Subscription { topic: "topic".to_owned(), filter: BTreeMap::new() }];
    let queues = vec![QueueSpec { queue: "queue".to_owned(), max_receive_count: 3, subscriptions }];
    let topology = Topology { topics: vec!["topic".to_owned()], queues };

    let ensured = join_all((0..8).map(|_| async {
        let bus = bus::connect(&settings).await.unwrap();
        bus.ensure(&topology).await.map(|()| bus)
    }));

    let bus = ensured.await.into_iter().map(Result::unwrap).next_back().unwrap();
    bus.publish("topic", &messages(2)).await.unwrap();
    assert_eq!(bus.receive("queue", 10, LONG, LIMIT).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_topic_takes_nothing_before_a_queue_is_subscribed() {
    let stage = Stage::postgres().await;
    let topics = vec!["early".to_owned()];
    stage.bus.ensure(&Topology { topics, queues: Vec::new() }).await.unwrap();
    let early = stage.bus.publish("early", &messages(1)).await;
    assert!(matches!(early, Err(Error::Unavailable { .. })), "{early:?}");

    let subscriptions = vec![Subscription { topic: "early".to_owned(), filter: BTreeMap::new() }];
    let queue = QueueSpec { queue: "late".to_owned(), max_receive_count: 3, subscriptions };
    let other = bus::connect(&stage.settings).await.unwrap();
    other.ensure(&Topology { topics: Vec::new(), queues: vec![queue] }).await.unwrap();
    stage.bus.publish("early", &messages(1)).await.unwrap();
    stage.drain("late", 1).await;
}

#[tokio::test]
async fn an_arn_or_url_stands_for_its_last_segment() {
    let stage = Stage::postgres().await;
    stage.bus.publish("arn:aws:sns:eu-west-1:000000000000:topic", &messages(1)).await.unwrap();
    stage.drain("https://sqs.eu-west-1.amazonaws.com/000000000000/everything", 1).await;
}

/// Ids are drawn before the commit: a low one may appear after higher ones were received and
/// removed.
#[tokio::test]
async fn a_message_that_commits_late_is_received() {
    let stage = Stage::postgres().await;
    let Behind::Postgres(database) = &stage.behind else {
        panic!("this is the postgres adapter's")
    };
    let pool = database.pool().await;
    stage.publish(&messages(1)).await;
    stage.drain(&stage.everything, 1).await;
    let mut late = pool.begin().await.unwrap();
    let send = r#"select pgmq.send('everything', '{"number":99}', '{}'::jsonb)"#;
    sqlx::query(send).execute(&mut *late).await.unwrap();

    // Long enough for several looks at where the queue begins.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1_200) {
        stage.publish(&messages(5)).await;
        stage.drain(&stage.everything, 5).await;
    }
    late.commit().await.unwrap();

    let received =
        stage.bus.receive(&stage.everything, 10, LONG, Duration::from_secs(1)).await.unwrap();
    assert_eq!(numbers(&received), [99]);
}
