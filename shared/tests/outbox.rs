//! The outbox and its relay, on a real database and the postgres bus.

#[path = "outbox/paused_bus.rs"]
mod paused_bus;

use std::{collections::BTreeMap, time::Duration};

use paused_bus::Gate;
use shared::{
    bus::{
        BusSettings, Message, QueueSpec, Received, SharedBus, Subscription, Topology, connect,
        settings::PostgresSettings,
    },
    contract::new_id,
    outbox::{self, Handoff, OutboxMessage, Relay},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use support::{eventually, postgres::Database};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(20);
const TOPIC: &str = "facts";
const QUEUE: &str = "listener";

/// A database with an outbox, a bus with a queue that hears everything, and a relay between them.
struct Post {
    _database: Database,
    bus_database: Database,
    pool: PgPool,
    bus: SharedBus,
    handoff: Handoff,
    shutdown: CancellationToken,
    relay: tokio::task::JoinHandle<()>,
}

impl Post {
    async fn open() -> Self {
        Self::behind(|bus| bus).await
    }

    /// The same, with something between the relay and the bus.
    async fn behind(between: impl FnOnce(SharedBus) -> SharedBus) -> Self {
        let database = support::postgres::database("outbox").await;
        let bus_database = support::postgres::database("outbox_bus").await;
        let pool = database.pool().await;
        sqlx::raw_sql(include_str!("../sql/outbox.sql"))
            .execute(&pool)
            .await
            .expect("the table is made");
        let settings = PostgresSettings { url: bus_database.url().into(), max_connections: 4 };
        let bus = connect(&BusSettings::Postgres(settings)).await.expect("a bus");
        let subscriptions = vec![Subscription { topic: TOPIC.to_owned(), filter: BTreeMap::new() }];
        let queue = QueueSpec { queue: QUEUE.to_owned(), max_receive_count: 5, subscriptions };
        bus.ensure(&Topology { topics: vec![TOPIC.to_owned()], queues: vec![queue] })
            .await
            .expect("prepared");
        let (relay, handoff) = Relay::new(pool.clone(), between(bus.clone()), TOPIC.to_owned());
        let shutdown = CancellationToken::new();
        let relay = tokio::spawn(relay.run(shutdown.clone()));
        Self { _database: database, bus_database, pool, bus, handoff, shutdown, relay }
    }

    /// Writes a message and commits; it is not handed over, as if the process had died then.
    async fn commit(&self, body: &str) -> OutboxMessage {
        let message = message(body);
        outbox::insert(&self.pool, std::slice::from_ref(&message)).await.expect("written");
        message
    }

    /// Writes so many messages of a user, and commits.
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

    /// Lets every lease run out.
    async fn expire_leases(&self) {
        sqlx::query("update outbox set lease_until = now() - interval '1 second'")
            .execute(&self.pool)
            .await
            .expect("updated");
    }

    /// Lets the bus be reached, or not.
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
async fn what_is_handed_over_is_published_and_deleted() {
    let post = Post::open().await;
    let message = post.commit(r#"{"n":1}"#).await;
    post.handoff.after_commit([message.clone()]);
    let received = post.received().await;
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].attributes, message.message.attributes);
    eventually(LIMIT, async || post.rows().await == 0).await;
}

#[tokio::test]
async fn what_a_crash_left_is_swept_once_its_lease_has_run_out() {
    let post = Post::open().await;
    post.commit(r#"{"n":1}"#).await;
    post.expire_leases().await;
    assert_eq!(post.received().await.len(), 1);
    eventually(LIMIT, async || post.rows().await == 0).await;
}

#[tokio::test]
async fn what_was_rolled_back_is_not_published() {
    let post = Post::open().await;
    let mut transaction = post.pool.begin().await.expect("begun");
    outbox::insert(&mut *transaction, &[message(r#"{"n":0}"#)]).await.expect("written");
    transaction.rollback().await.expect("rolled back");
    let kept = post.commit(r#"{"n":1}"#).await;
    post.handoff.after_commit([kept]);
    let bodies: Vec<_> = post.received().await.into_iter().map(|it| it.body).collect();
    assert_eq!(bodies.len(), 1);
    assert!(bodies[0].contains('1'), "{bodies:?}");
}

#[tokio::test]
async fn a_row_that_commits_after_a_later_one_was_published_is_published_too() {
    let post = Post::open().await;
    let mut slow = post.pool.begin().await.expect("begun");
    outbox::insert(&mut *slow, &[message(r#"{"n":"earlier"}"#)]).await.expect("written");
    let later = post.commit(r#"{"n":"later"}"#).await;
    post.handoff.after_commit([later]);
    assert!(post.received().await[0].body.contains("later"));
    slow.commit().await.expect("committed");
    post.expire_leases().await;
    assert!(post.received().await[0].body.contains("earlier"));
}

#[tokio::test]
async fn what_can_never_be_published_is_parked_and_holds_nobody_up() {
    let post = Post::open().await;
    let bad = post.commit(r#"{"n":"\u0000"}"#).await;
    let good = post.commit(r#"{"n":"good"}"#).await;
    post.handoff.after_commit([bad.clone(), good]);
    assert!(post.received().await[0].body.contains("good"));
    let parked = async || {
        let query = sqlx::query_scalar::<_, Option<String>>(
            "select parked_reason from outbox where event_id = $1",
        );
        query.bind(bad.event_id).fetch_one(&post.pool).await.expect("the row is kept")
    };
    eventually(LIMIT, parked).await;
    eventually(LIMIT, async || post.rows().await == 1).await;
}

#[tokio::test]
async fn a_drain_publishes_what_was_handed_over() {
    let post = Post::open().await;
    let mut messages = Vec::new();
    for number in 0..50 {
        messages.push(post.commit(&format!(r#"{{"n":{number}}}"#)).await);
    }
    post.handoff.after_commit(messages);
    post.shutdown.cancel();
    post.relay.await.expect("the relay ended");
    let rows: i64 = sqlx::query_scalar("select count(*) from outbox")
        .fetch_one(&post.pool)
        .await
        .expect("counted");
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn the_same_event_is_written_once() {
    let post = Post::open().await;
    let message = post.commit(r#"{"n":1}"#).await;
    outbox::insert(&post.pool, &[message]).await.expect("a repeat is no error");
    assert_eq!(post.rows().await, 1);
}

/// A sweep that takes long, as under a held snapshot, must not keep what is handed over.
#[tokio::test]
async fn publishes_handed_over_messages_while_a_sweep_hangs() {
    let post = Post::open().await;
    let hang = "create function hang() returns trigger language plpgsql as $$ begin
            perform pg_advisory_xact_lock(1);
            return null;
        end $$;
        create trigger hang before update on outbox for each statement execute function hang();";
    sqlx::raw_sql(hang).execute(&post.pool).await.expect("a trigger");
    let mut holder = post.pool.acquire().await.expect("a connection");
    sqlx::query("select pg_advisory_lock(1)").execute(&mut *holder).await.expect("a lock");
    let hanging =
        "select exists (select from pg_locks where locktype = 'advisory' and not granted)";
    eventually(LIMIT, async || {
        sqlx::query_scalar(hanging).fetch_one(&post.pool).await.unwrap_or(false)
    })
    .await;

    let message = post.commit(r#"{"n":1}"#).await;
    post.handoff.after_commit([message]);

    assert_eq!(post.received().await.len(), 1);
    eventually(LIMIT, async || post.rows().await == 0).await;
    sqlx::query("select pg_advisory_unlock(1)")
        .execute(&mut *holder)
        .await
        .expect("the sweep goes on");
}

/// Ids of other versions than 7 tell no time: they are found by the full passes.
#[tokio::test]
async fn sweeps_rows_whose_ids_tell_no_time() {
    let post = Post::open().await;
    let mut message = message(r#"{"n":1}"#);
    message.event_id = uuid::Uuid::from_u128(1);
    outbox::insert(&post.pool, &[message]).await.expect("written");
    post.expire_leases().await;
    // A full pass comes every 30 seconds.
    eventually(3 * LIMIT, async || post.rows().await == 0).await;
    assert_eq!(post.received().await.len(), 1);
}

/// A slow topic holds up the user who has many messages, in memory, and nobody else.
#[tokio::test]
async fn publishes_message_beside_20_000_of_another_user() {
    let mut gate = None;
    let post = Post::behind(|bus| gate.insert(Gate::closed(bus)).clone()).await;
    let gate = gate.expect("a gate");
    let many = post.commit_of("mallory", 20_000).await;
    post.handoff.after_commit(many);
    eventually(LIMIT, async || gate.begun("mallory") > 0).await;

    let one = post.commit_of("ada", 1).await;
    post.handoff.after_commit(one);

    eventually(LIMIT, async || gate.begun("ada") == 1).await;
    assert!(gate.begun("mallory") <= 100, "{} are under way", gate.begun("mallory"));
    gate.open();
    eventually(LIMIT, async || gate.begun("mallory") > 1_000).await;
}

/// So does what is left in the outbox: rows of others, though younger, come after one batch.
#[tokio::test]
async fn sweeps_other_users_before_backlog_of_one() {
    let mut gate = None;
    let post = Post::behind(|bus| gate.insert(Gate::closed(bus)).clone()).await;
    let gate = gate.expect("a gate");
    post.commit_of("mallory", 4_000).await;
    post.commit_of("ada", 3).await;
    post.expire_leases().await;
    gate.open();

    eventually(3 * LIMIT, async || gate.begun("ada") == 3).await;
    assert!(gate.before("ada", "mallory") <= 600, "{} came before", gate.before("ada", "mallory"));
    eventually(3 * LIMIT, async || post.rows().await == 0).await;
    assert_eq!(gate.begun("mallory"), 4_000, "each was published once");
}

/// What is told must not come late by the rest of a lease once the bus is back.
#[tokio::test]
async fn gives_rows_back_at_once_when_the_bus_fails() {
    let post = Post::open().await;
    post.allow_bus_connections(false).await;
    let message = post.commit(r#"{"n":1}"#).await;
    post.handoff.after_commit([message]);
    let given_back = "select exists (select from outbox where lease_until = '-infinity')";
    eventually(LIMIT, async || {
        sqlx::query_scalar(given_back).fetch_one(&post.pool).await.unwrap_or(false)
    })
    .await;

    post.allow_bus_connections(true).await;
    eventually(LIMIT, async || post.rows().await == 0).await;
    assert_eq!(post.received().await.len(), 1);
}
