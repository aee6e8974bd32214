//! Behaviour of the postgres adapter alone.

use std::{collections::BTreeMap, time::Duration};

use bus::{
    BusSettings, Error, Packing, QueueSpec, Subscription, Topology, settings::PostgresSettings,
};
use futures::future::join_all;

use super::test_bus::{Backend, LIMIT, LONG, TestBus, messages, numbers};

#[tokio::test]
async fn installs_from_several_processes_at_once() {
    let database = support::postgres::database("bus").await;
    let settings =
        BusSettings::Postgres(PostgresSettings { url: database.url().into(), max_connections: 1 });
    let subscriptions = vec![Subscription { topic: "topic".to_owned(), filter: BTreeMap::new() }];
    let queues = vec![QueueSpec { queue: "queue".to_owned(), max_receive_count: 3, subscriptions }];
    let topology = Topology { topics: vec!["topic".to_owned()], queues };

    let ensured = join_all((0..8).map(|_| async {
        let bus = bus::connect(&settings, &Packing::default()).await.unwrap();
        bus.ensure(&topology).await.map(|()| bus)
    }));

    let bus = ensured.await.into_iter().map(Result::unwrap).next_back().unwrap();
    bus.publish("topic", &messages(2)).await.unwrap();
    assert_eq!(bus.receive("queue", 10, LONG, LIMIT).await.unwrap().len(), 2);
}

#[tokio::test]
async fn refuses_messages_before_first_subscription() {
    let bus = TestBus::postgres().await;
    let topics = vec!["early".to_owned()];
    bus.adapter.ensure(&Topology { topics, queues: Vec::new() }).await.unwrap();
    let early = bus.adapter.publish("early", &messages(1)).await;
    assert!(matches!(early, Err(Error::Unavailable { .. })), "{early:?}");

    let subscriptions = vec![Subscription { topic: "early".to_owned(), filter: BTreeMap::new() }];
    let queue = QueueSpec { queue: "late".to_owned(), max_receive_count: 3, subscriptions };
    let other = bus::connect(&bus.settings, &Packing::default()).await.unwrap();
    other.ensure(&Topology { topics: Vec::new(), queues: vec![queue] }).await.unwrap();
    bus.adapter.publish("early", &messages(1)).await.unwrap();
    bus.drain("late", 1).await;
}

#[tokio::test]
async fn accepts_arn_and_url_as_name() {
    let bus = TestBus::postgres().await;
    bus.adapter.publish("arn:aws:sns:eu-west-1:000000000000:topic", &messages(1)).await.unwrap();
    bus.drain("https://sqs.eu-west-1.amazonaws.com/000000000000/everything", 1).await;
}

/// Ids are drawn before the commit: a low id may appear after higher ones were received and
/// removed.
#[tokio::test]
async fn receives_message_that_commits_late() {
    let bus = TestBus::postgres().await;
    let Backend::Postgres(database) = &bus.backend else {
        panic!("this is the postgres adapter's")
    };
    let pool = database.pool().await;
    bus.publish(&messages(1)).await;
    bus.drain(&bus.everything, 1).await;
    let mut late = pool.begin().await.unwrap();
    let send = r#"select pgmq.send('everything', '{"number":99}', '{}'::jsonb)"#;
    sqlx::query(send).execute(&mut *late).await.unwrap();

    // Long enough for several observations of the low-water mark.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1_200) {
        bus.publish(&messages(5)).await;
        bus.drain(&bus.everything, 5).await;
    }
    late.commit().await.unwrap();

    let received =
        bus.adapter.receive(&bus.everything, 10, LONG, Duration::from_secs(1)).await.unwrap();
    assert_eq!(numbers(&received), [99]);
}

/// Number of transactions that a database has committed. PostgreSQL counts those of another
/// connection up to ten seconds late.
async fn commits(pool: &sqlx::PgPool) -> i64 {
    let commits = "select xact_commit from pg_stat_database where datname = current_database()";
    sqlx::query_scalar(commits).fetch_one(pool).await.unwrap()
}

/// Receives from an idle queue, in the way of a consumer, until it is asleep: in two seconds, a
/// reader that polls has forty transactions.
async fn sleep(bus: &TestBus) {
    let Backend::Postgres(database) = &bus.backend else {
        panic!("this is the postgres adapter's")
    };
    let pool = database.pool().await;
    let announced = "select count(*) from bus.queues where asleep_until > now()";
    let begun = std::time::Instant::now();
    loop {
        let before = commits(&pool).await;
        bus.expect_no_message_for(Duration::from_secs(2)).await;
        let polled = commits(&pool).await - before;
        let sleepers = sqlx::query_scalar::<_, i64>(announced).fetch_one(&pool).await.unwrap();
        if sleepers > 0 && polled < 20 {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{sleepers} asleep, {polled} transactions in two seconds");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wakes_reader_of_idle_queue() {
    let bus = TestBus::postgres().await;
    let other = bus::connect(&bus.settings, &Packing::default()).await.unwrap();
    for number in 0..2 {
        sleep(&bus).await;
        let begun = std::time::Instant::now();
        let message = [super::test_bus::message(number, &[])];
        let (received, published) = tokio::join!(bus.receive_one(LONG), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            match number {
                0 => other.publish(&bus.topic, &message).await,
                _ => other.send(&bus.everything, &message, Duration::ZERO).await,
            }
        });
        published.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
        bus.settle(received, bus::Settlement::Done).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wakes_for_message_whose_delay_ends() {
    let bus = TestBus::postgres().await;
    sleep(&bus).await;
    let message = [super::test_bus::message(7, &[])];
    let delay = Duration::from_secs(1);
    bus.adapter.send(&bus.everything, &message, delay).await.unwrap();
    let begun = std::time::Instant::now();
    let received = bus.receive_one(LONG).await;
    assert!(begun.elapsed() < Duration::from_millis(2_200), "{:?}", begun.elapsed());

    bus.settle(received, bus::Settlement::RetryAfter(delay)).await;
    let begun = std::time::Instant::now();
    bus.receive_one(LONG).await;
    assert!(begun.elapsed() < Duration::from_millis(2_200), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receives_although_its_listener_is_killed() {
    let bus = TestBus::postgres().await;
    let Backend::Postgres(database) = &bus.backend else {
        panic!("this is the postgres adapter's")
    };
    sleep(&bus).await;
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity
        where query like 'LISTEN%' and datname = current_database()";
    let killed = sqlx::query(kill).execute(&database.pool().await).await.unwrap();
    assert_eq!(killed.rows_affected(), 1);
    bus.publish(&messages(1)).await;
    let begun = std::time::Instant::now();
    bus.drain(&bus.everything, 1).await;
    assert!(begun.elapsed() < Duration::from_millis(2_200), "{:?}", begun.elapsed());
}
