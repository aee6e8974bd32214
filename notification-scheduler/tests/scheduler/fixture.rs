//! A database with event-service's schema, what is due in it, and the bus in the same database.

use std::{collections::BTreeSet, time::Duration};

use bus::{
    BusSettings, Packing, QueueSpec, Received, Settlement, SharedBus, Subscription, Topology,
    settings::PostgresSettings,
};
use contract::Envelope;
use notification_scheduler::{
    domain::claim::LeaseTerms,
    store::SESSION,
    tasks::scheduler::{Scheduler, Settings},
    usecases::claim_due_occurrences::DueOccurrences,
};
use sqlx::{
    PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use support::postgres::Database;
use uuid::Uuid;

/// event-service owns the schema; here is what it looks like.
static MIGRATOR: Migrator = sqlx::migrate!("../event-service/migrations");

pub(crate) const TOPIC: &str = "notification-topic";
pub(crate) const QUEUE: &str = "notification-queue";

/// Leases of the usual duration, from the due time on.
pub(crate) const TERMS: LeaseTerms = LeaseTerms { lease: Settings::LEASE, ahead: Duration::ZERO };

pub(crate) struct TestService {
    pub(crate) database: Database,
    pub(crate) pool: PgPool,
    pub(crate) due: DueOccurrences,
}

/// A database whose due occurrences are claimed under leases of the usual duration.
pub(crate) async fn test_service() -> TestService {
    let database = support::postgres::migrated("scheduler", &MIGRATOR).await;
    let options: PgConnectOptions = database.url().parse().expect("a URL");
    // The sessions that the scheduler has in production.
    let pool = PgPoolOptions::new()
        .max_connections(16)
        .connect_with(options.options(SESSION.iter().copied()))
        .await;
    let pool = pool.expect("connects");
    TestService { due: DueOccurrences::new(pool.clone(), TERMS), database, pool }
}

pub(crate) async fn bus(url: &str) -> SharedBus {
    let settings = PostgresSettings { url: url.to_owned().into(), max_connections: 8 };
    bus::connect(&BusSettings::Postgres(settings), &Packing::default())
        .await
        .expect("usable settings")
}

/// A bus with a queue that hears what the scheduler publishes.
pub(crate) async fn bus_with_queue(url: &str) -> SharedBus {
    let bus = bus(url).await;
    let subscription = Subscription { topic: TOPIC.to_owned(), filter: Default::default() };
    let queue = QueueSpec {
        queue: QUEUE.to_owned(),
        max_receive_count: 5,
        subscriptions: vec![subscription],
    };
    bus.ensure(&Topology { topics: vec![TOPIC.to_owned()], queues: vec![queue] })
        .await
        .expect("made");
    bus
}

impl TestService {
    /// Makes notifications with one occurrence each, `due` (an SQL interval from now) and expiring
    /// an hour later.
    pub(crate) async fn make(&self, count: i64, due: &str) {
        self.make_of("user-1", count, due).await;
    }

    /// Makes notifications of a user as [`TestService::make`] does.
    pub(crate) async fn make_of(&self, user: &str, count: i64, due: &str) {
        self.make_silently(user, count, due).await;
        sqlx::query("select wake_schedulers()").execute(&self.pool).await.expect("awake");
    }

    /// Makes notifications of a user, and does not wake the schedulers.
    pub(crate) async fn make_silently(&self, user: &str, count: i64, due: &str) {
        let sql = "with made as (
                insert into notifications (id, source, item_id, user_id, user_email, version,
                    state, date, notify_offsets, content, occurred_at)
                select gen_random_uuid(), 'reminder', 'item-' || gen_random_uuid(), $3,
                    $3 || '@example.com', 3, 'active', now() + $2::text::interval, '{0}',
                    '{\"channels\": [\"push\"], \"message\": \"m\", \"timeZone\": \"UTC\",
                        \"expiresAfterMinutes\": 60}', now()
                from generate_series(1, $1)
                returning id, date
            )
            insert into occurrences (id, notification_id, due_at, date, expires_at, user_key)
            select gen_random_uuid(), id, date + random() * interval '1 ms', date,
                date + interval '1 hour', occurrence_user_key($3, 'normal')
            from made";
        sqlx::query(sql).bind(count).bind(due).bind(user).execute(&self.pool).await.expect("made");
    }

    /// The bus in the same database, with a queue that hears what the scheduler publishes.
    pub(crate) async fn bus(&self) -> SharedBus {
        bus_with_queue(self.database.url()).await
    }

    pub(crate) fn scheduler(&self, bus: SharedBus) -> Scheduler {
        let listener = PgPoolOptions::new().max_connections(1);
        let listener = listener.connect_lazy(self.database.url()).expect("a URL");
        Scheduler::new(self.pool.clone(), listener, bus, Settings::new(TOPIC.to_owned()))
    }

    pub(crate) async fn count(&self, condition: &'static str) -> i64 {
        let sql =
            sqlx::AssertSqlSafe(format!("select count(*) from occurrences where {condition}"));
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("a count")
    }

    pub(crate) async fn run(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.pool).await.expect("done");
    }
}

/// Takes everything out of the queue.
pub(crate) async fn drain(bus: &SharedBus) -> Vec<Envelope> {
    let mut events = Vec::new();
    loop {
        let batch = bus
            .receive(QUEUE, 500, Duration::from_secs(30), Duration::ZERO)
            .await
            .expect("received");
        if batch.is_empty() {
            return events;
        }
        events.extend(batch.iter().map(|message| Envelope::decode(message).expect("readable")));
        let done: Vec<(Received, Settlement)> =
            batch.into_iter().map(|message| (message, Settlement::Done)).collect();
        bus.settle(QUEUE, done).await.expect("settled");
    }
}

/// The occurrences that events command to send.
pub(crate) fn occurrences(events: &[Envelope]) -> BTreeSet<Uuid> {
    events
        .iter()
        .map(|event| event.send().expect("a command to send").occurrence_id.into_uuid())
        .collect()
}
