//! A running service for each test.

use std::{collections::BTreeMap, time::Duration};

use bus::{
    BusSettings, Packing, QueueSpec, SharedBus, Subscription, Topology, settings::PostgresSettings,
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reminder_service::{App, Config};
use serde_json::{Value, json};
use support::{
    http::{Answer, Client},
    postgres::{self, Database},
    wait_until,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A running service with its own database, and a client for the user `ada`.
pub(crate) struct Service {
    pub(crate) database: Database,
    pub(crate) ada: Client,
    pub(crate) anonymous: Client,
    pub(crate) base: String,
    pub(crate) admin: Client,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Service {
    /// Starts the service on a migrated database, and waits until it is ready.
    pub(crate) async fn start() -> Self {
        let filled = async |url: String| {
            reminder_service::migrate(&config(&url, &[])).await?;
            Ok(listen(&url).await?)
        };
        let database = postgres::database_from(
            "reminders",
            "reminder-service migrated, and a listener",
            filled,
        )
        .await;
        let service = Self::start_on(database, &[]).await;
        service.ready().await;
        service
    }

    /// Starts the service on an unchanged database, with further environment variables.
    pub(crate) async fn start_on(database: Database, more: &[(&str, &str)]) -> Self {
        // Metrics before the installation of the recorder are lost; a process installs it first.
        service::telemetry::metrics_handle();
        let app = App::build(config(database.url(), more)).await.expect("the service is built");
        let base = format!("http://{}", app.rest_addr());
        let anonymous = Client::new(&base);
        let admin = Client::new(format!("http://{}", app.admin_addr()));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(app.run(shutdown.clone()));
        Self {
            database,
            ada: anonymous.as_user("ada", "ada@example.com"),
            anonymous,
            base,
            admin,
            shutdown,
            running,
        }
    }

    /// Starts a further process on the database of another one, until the token is cancelled.
    pub(crate) async fn replica(url: &str, more: &[(&str, &str)]) -> CancellationToken {
        let app = App::build(config(url, more)).await.expect("the service is built");
        let shutdown = CancellationToken::new();
        tokio::spawn(app.run(shutdown.clone()));
        shutdown
    }

    pub(crate) async fn ready(&self) {
        wait_until(LIMIT, async || match self.admin.get("/readyz").await {
            Answer { status: 200, .. } => Ok(()),
            answer => Err(answer.body),
        })
        .await;
    }

    /// Drains the service and returns its database.
    pub(crate) async fn stop(self) -> Database {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(LIMIT, self.running).await;
        ended.expect("it ends in time").expect("it does not panic").expect("it ends well");
        self.database
    }

    /// Creates a reminder and returns its id.
    pub(crate) async fn make(&self, body: &Value) -> String {
        self.ada.post("/reminders", body).await.expect(201).id()
    }

    /// Waits until a reminder is in a zone.
    pub(crate) async fn wait_for_zone(&self, id: &str, zone: &str) {
        wait_until(LIMIT, async || {
            let reminder = self.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
            if reminder["effectiveTimeZone"] == zone { Ok(()) } else { Err(reminder) }
        })
        .await;
    }

    /// Moves a reminder into the past, which the API cannot.
    pub(crate) async fn let_pass(&self, id: &str) {
        let sql = "update reminders set date = date - interval '200 years',
                       last_at = last_at - interval '200 years'
                   where id = $1::text::uuid";
        sqlx::query(sql).bind(id).execute(&self.database.pool().await).await.expect("it is moved");
    }

    /// Number of rows of a table.
    pub(crate) async fn count(&self, table: &'static str) -> i64 {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(sql).fetch_one(&self.database.pool().await).await.expect("a count")
    }
}

/// Queue that is subscribed to the event topic.
pub(crate) const LISTENER: &str = "listener";

/// The bus of a database.
pub(crate) async fn bus(url: &str) -> Result<SharedBus, bus::Error> {
    let settings = PostgresSettings { url: url.into(), max_connections: 2 };
    bus::connect(&BusSettings::Postgres(settings), &Packing::default()).await
}

/// Subscribes a queue to the event topic: the bus refuses messages for a topic without subscribers.
pub(crate) async fn listen(url: &str) -> Result<(), bus::Error> {
    let subscription = Subscription { topic: "event-topic".to_owned(), filter: BTreeMap::new() };
    let queue = QueueSpec {
        queue: LISTENER.to_owned(),
        max_receive_count: 5,
        subscriptions: vec![subscription],
    };
    bus(url)
        .await?
        .ensure(&Topology { topics: vec!["event-topic".to_owned()], queues: vec![queue] })
        .await
}

pub(crate) fn config(url: &str, more: &[(&str, &str)]) -> Config {
    let fixed = [
        ("DATABASE_URL", url),
        ("BUS", "postgres"),
        ("BUS_DATABASE_URL", url),
        ("PORT", "0"),
        ("ADMIN_PORT", "0"),
    ];
    let pairs = fixed.iter().chain([&("BIND_ADDRESS", "127.0.0.1")]).chain(more);
    let env: BTreeMap<String, String> =
        pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::read(&env).expect("a configuration")
}

/// A time from now in the format of answers.
pub(crate) fn in_minutes(minutes: i64) -> String {
    wire(Utc::now() + TimeDelta::minutes(minutes))
}

pub(crate) fn wire(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The smallest valid body of a reminder.
pub(crate) fn least() -> Value {
    json!({"date": in_minutes(60), "message": "Tablets"})
}

/// The smallest valid body with further or other fields.
pub(crate) fn least_with(more: Value) -> Value {
    merged(least(), more)
}

pub(crate) fn merged(mut body: Value, more: Value) -> Value {
    let more = more.as_object().cloned().expect("an object");
    body.as_object_mut().expect("an object").extend(more);
    body
}
