//! The outbox and its relay, on a real database and the postgres bus.

#[path = "outbox/paused_bus.rs"]
mod paused_bus;

use std::{collections::BTreeMap, time::Duration};

use bus::{
    BusSettings, Message, Packing, QueueSpec, Received, SharedBus, Subscription, Topology, connect,
    settings::PostgresSettings,
};
use contract::new_id;
use paused_bus::PausedBus;
use service::outbox::{self, OutboxMessage, Relay, RelayHandle};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use support::{postgres::Database, wait_until};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(20);
const TOPIC: &str = "facts";
const QUEUE: &str = "listener";

/// A database with an outbox, a bus with a queue that receives every message, and a relay between
/// them.
struct TestOutbox {
    _database: Database,
    bus_database: Database,
    pool: PgPool,
    bus: SharedBus,
    relay_handle: RelayHandle,
    shutdown: CancellationToken,
    relay: tokio::task::JoinHandle<()>,
}

impl TestOutbox {
    async fn start() -> Self {
        Self::start_with(|bus| bus).await
    }

    /// Starts with a bus that wraps the real one.
    async fn start_with(wrap: impl FnOnce(SharedBus) -> SharedBus) -> Self {
        let database = support::postgres::database("outbox").await;
        let bus_database = support::postgres::database("outbox_bus").await;
        let pool = database.pool().await;
        sqlx::raw_sql(include_str!("../src/outbox/outbox.sql"))
            .execute(&pool)
            .await
            .expect("the table is made");
        let settings = PostgresSettings { url: bus_database.url().into(), max_connections: 4 };
        let bus =
            connect(&BusSettings::Postgres(settings), &Packing::default()).await.expect("a bus");
        let subscriptions = vec![Subscription { topic: TOPIC.to_owned(), filter: BTreeMap::new() }];
        let queue = QueueSpec { queue: QUEUE.to_owned(), max_receive_count: 5, subscriptions };
        bus.ensure(&Topology { topics: vec![TOPIC.to_owned()], queues: vec![queue] })
            .await
            .expect("prepared");
        let (relay, relay_handle) = Relay::new(pool.clone(), wrap(bus.clone()), TOPIC.to_owned());
        let shutdown = CancellationToken::new();
        let relay = tokio::spawn(relay.run(shutdown.clone()));
        Self { _database: database, bus_database, pool, bus, relay_handle, shutdown, relay }
    }

    /// Writes a message and commits without passing it to the relay, as if the process had died.
    async fn commit(&self, body: &str) -> OutboxMessage {
        let message = message(body);
        outbox::insert(&self.pool, std::slice::from_ref(&message)).await.expect("written");
        message
    }

    /// Writes a number of messages of a user, and commits.
    async fn commit_of(&self, user: &str, messages: usize) -> Vec<OutboxMessage> {
        let mut written: Vec<_> =
            (0..messages).map(|number| message(&format!(r#"{{"n":{number}}}"#))).collect();
        for message in &mut written {
            message.message.attributes.insert("userId".to_owned(), user.to_owned());
        }
        for part in written.chunks(1_000) {
            outbox::insert(&self.pool, part).await.expect("written");
        }
        written
    }

    /// Expires every lease.
    async fn expire_leases(&self) {
        sqlx::query("update outbox set lease_until = now() - interval '1 second'")
            .execute(&self.pool)
            .await
            .expect("updated");
    }

    /// Allows or refuses connections to the database of the bus.
    async fn allow_bus_connections(&self, allowed: bool) {
        let url = support::postgres::cluster_url().await.expect("the cluster runs");
        let mut admin = PgConnection::connect(&url).await.expect("the cluster answers");
        let name = self.bus_database.name();
        let change = format!("alter database {name} allow_connections {allowed}");
        sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut admin).await.expect("changed");
        if !allowed {
            let end = format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
            );
            sqlx::raw_sql(AssertSqlSafe(end)).execute(&mut admin).await.expect("ended");
        }
    }

    async fn received(&self) -> Vec<Received> {
        self.bus.receive(QUEUE, 100, Duration::from_secs(60), LIMIT).await.expect("received")
    }

    async fn rows(&self) -> i64 {
        sqlx::query_scalar("select count(*) from outbox")
            .fetch_one(&self.pool)
            .await
            .expect("counted")
    }
}

fn message(body: &str) -> OutboxMessage {
    let attributes = BTreeMap::from([("eventType".to_owned(), "reminder:created".to_owned())]);
    OutboxMessage { event_id: new_id(), message: Message { body: body.to_owned(), attributes } }
}

#[tokio::test]
async fn publishes_and_deletes_message_after_commit() {
    let test = TestOutbox::start().await;
    let message = test.commit(r#"{"n":1}"#).await;
    test.relay_handle.after_commit([message.clone()]);
    let received = test.received().await;
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].attributes, message.message.attributes);
    wait_until(LIMIT, async || test.rows().await == 0).await;
}

#[tokio::test]
async fn publishes_row_of_crashed_process_after_lease() {
    let test = TestOutbox::start().await;
    test.commit(r#"{"n":1}"#).await;
    test.expire_leases().await;
    assert_eq!(test.received().await.len(), 1);
    wait_until(LIMIT, async || test.rows().await == 0).await;
}

#[tokio::test]
async fn publishes_nothing_of_rolled_back_transaction() {
    let test = TestOutbox::start().await;
    let mut transaction = test.pool.begin().await.expect("begun");
    outbox::insert(&mut *transaction, &[message(r#"{"n":0}"#)]).await.expect("written");
    transaction.rollback().await.expect("rolled back");
    let kept = test.commit(r#"{"n":1}"#).await;
    test.relay_handle.after_commit([kept]);
    let bodies: Vec<_> = test.received().await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies.len(), 1);
    assert!(bodies[0].contains('1'), "{bodies:?}");
}

#[tokio::test]
async fn publishes_row_that_commits_late() {
    let test = TestOutbox::start().await;
    let mut slow = test.pool.begin().await.expect("begun");
    outbox::insert(&mut *slow, &[message(r#"{"n":"earlier"}"#)]).await.expect("written");
    let later = test.commit(r#"{"n":"later"}"#).await;
    test.relay_handle.after_commit([later]);
    assert!(test.received().await[0].body.contains("later"));
    slow.commit().await.expect("committed");
    test.expire_leases().await;
    assert!(test.received().await[0].body.contains("earlier"));
}

#[tokio::test]
async fn parks_unpublishable_message_without_delay() {
    let test = TestOutbox::start().await;
    let bad = test.commit(r#"{"n":"\u0000"}"#).await;
    let good = test.commit(r#"{"n":"good"}"#).await;
    test.relay_handle.after_commit([bad.clone(), good]);
    assert!(test.received().await[0].body.contains("good"));
    let parked = async || {
        let query = sqlx::query_scalar::<_, Option<String>>(
            "select parked_reason from outbox where event_id = $1",
        );
        query.bind(bad.event_id).fetch_one(&test.pool).await.expect("the row is kept")
    };
    wait_until(LIMIT, parked).await;
    wait_until(LIMIT, async || test.rows().await == 1).await;
}

#[tokio::test]
async fn drains_messages_in_memory_on_shutdown() {
    let test = TestOutbox::start().await;
    let mut messages = Vec::new();
    for number in 0..50 {
        messages.push(test.commit(&format!(r#"{{"n":{number}}}"#)).await);
    }
    test.relay_handle.after_commit(messages);
    test.shutdown.cancel();
    test.relay.await.expect("the relay ended");
    let rows: i64 = sqlx::query_scalar("select count(*) from outbox")
        .fetch_one(&test.pool)
        .await
        .expect("counted");
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn writes_same_event_once() {
    let test = TestOutbox::start().await;
    let message = test.commit(r#"{"n":1}"#).await;
    outbox::insert(&test.pool, &[message]).await.expect("a repeat is no error");
    assert_eq!(test.rows().await, 1);
}

/// A claim that takes long, as under a held snapshot, must not delay messages in memory.
#[tokio::test]
async fn publishes_from_memory_while_claim_hangs() {
    let test = TestOutbox::start().await;
    let hang = "create function hang() returns trigger language plpgsql as $$ begin
            perform pg_advisory_xact_lock(1);
            return null;
        end $$;
        create trigger hang before update on outbox for each statement execute function hang();";
    sqlx::raw_sql(hang).execute(&test.pool).await.expect("a trigger");
    let mut holder = test.pool.acquire().await.expect("a connection");
    sqlx::query("select pg_advisory_lock(1)").execute(&mut *holder).await.expect("a lock");
    let hanging =
        "select exists (select from pg_locks where locktype = 'advisory' and not granted)";
    wait_until(LIMIT, async || {
        sqlx::query_scalar(hanging).fetch_one(&test.pool).await.unwrap_or(false)
    })
    .await;

    let message = test.commit(r#"{"n":1}"#).await;
    test.relay_handle.after_commit([message]);

    assert_eq!(test.received().await.len(), 1);
    wait_until(LIMIT, async || test.rows().await == 0).await;
    sqlx::query("select pg_advisory_unlock(1)")
        .execute(&mut *holder)
        .await
        .expect("the claim continues");
}

/// Only full scans find ids of other versions than 7, which contain no time.
#[tokio::test]
async fn publishes_row_whose_id_contains_no_time() {
    let test = TestOutbox::start().await;
    let mut message = message(r#"{"n":1}"#);
    message.event_id = uuid::Uuid::from_u128(1);
    outbox::insert(&test.pool, &[message]).await.expect("written");
    test.expire_leases().await;
    // A full scan runs every 30 seconds.
    wait_until(3 * LIMIT, async || test.rows().await == 0).await;
    assert_eq!(test.received().await.len(), 1);
}

/// A slow topic delays only the user with many messages in memory.
#[tokio::test]
async fn publishes_message_beside_20_000_of_another_user() {
    let mut bus = None;
    let test = TestOutbox::start_with(|real| bus.insert(PausedBus::paused(real)).clone()).await;
    let bus = bus.expect("a bus");
    let many = test.commit_of("mallory", 20_000).await;
    test.relay_handle.after_commit(many);
    wait_until(LIMIT, async || bus.started("mallory") > 0).await;

    let one = test.commit_of("ada", 1).await;
    test.relay_handle.after_commit(one);

    wait_until(LIMIT, async || bus.started("ada") == 1).await;
    assert!(bus.started("mallory") <= 100, "{} are in flight", bus.started("mallory"));
    bus.resume();
    wait_until(LIMIT, async || bus.started("mallory") > 1_000).await;
}

/// Younger rows of other users are published after one batch of the user with many rows.
#[tokio::test]
async fn publishes_rows_of_others_before_backlog_of_one() {
    let mut bus = None;
    let test = TestOutbox::start_with(|real| bus.insert(PausedBus::paused(real)).clone()).await;
    let bus = bus.expect("a bus");
    test.commit_of("mallory", 4_000).await;
    test.commit_of("ada", 3).await;
    test.expire_leases().await;
    bus.resume();

    wait_until(3 * LIMIT, async || bus.started("ada") == 3).await;
    assert!(
        bus.count_before("ada", "mallory") <= 600,
        "{} came before",
        bus.count_before("ada", "mallory")
    );
    wait_until(3 * LIMIT, async || test.rows().await == 0).await;
    assert_eq!(bus.started("mallory"), 4_000, "each was published once");
}

/// Rows must not be delayed by the rest of their lease once the bus is back.
#[tokio::test]
async fn releases_rows_at_once_when_bus_fails() {
    let test = TestOutbox::start().await;
    test.allow_bus_connections(false).await;
    let message = test.commit(r#"{"n":1}"#).await;
    test.relay_handle.after_commit([message]);
    let released = "select exists (select from outbox where lease_until = '-infinity')";
    wait_until(LIMIT, async || {
        sqlx::query_scalar(released).fetch_one(&test.pool).await.unwrap_or(false)
    })
    .await;

    test.allow_bus_connections(true).await;
    wait_until(LIMIT, async || test.rows().await == 0).await;
    assert_eq!(test.received().await.len(), 1);
}
