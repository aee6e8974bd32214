//! The whole service, by the production builder.

use std::{collections::BTreeMap, time::Duration};

use bus::Message;
use event_service::{App, Config};
use serde_json::Value;
use support::{http::Client, postgres::Database, wait_until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fixture::bus;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct RunningService {
    pub(crate) database: Database,
    pub(crate) client: Client,
    pub(crate) base: String,
    pub(crate) admin: Client,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// The whole service on a database that is still empty.
pub(crate) async fn running_service() -> RunningService {
    start(support::postgres::database("eventapi").await, &[]).await
}

/// Waits until the partitions of the events are there: a row that is written, or a page that is
/// read, while they are made may miss its place.
pub(crate) async fn wait_for_partitions(pool: &sqlx::PgPool) {
    let count = "select count(*) from pg_inherits where inhparent = 'events'::regclass";
    // The default partition, and those of six weeks.
    wait_until(LIMIT, async || {
        sqlx::query_scalar::<_, i64>(count).fetch_one(pool).await.is_ok_and(|made| made >= 7)
    })
    .await;
}

/// The whole service on a database as it is, with more in its environment.
pub(crate) async fn start(database: Database, more: &[(&str, &str)]) -> RunningService {
    let variables = [
        ("DATABASE_URL", database.url()),
        ("BUS", "postgres"),
        ("BUS_DATABASE_URL", database.url()),
        ("BIND_ADDRESS", "127.0.0.1"),
        ("PORT", "0"),
        ("ADMIN_PORT", "0"),
    ];
    let variables = variables.iter().chain(more);
    let env: BTreeMap<String, String> =
        variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let app =
        App::build(Config::read(&env).expect("a complete configuration")).await.expect("bound");
    let base = format!("http://{}", app.rest_addr());
    let admin = Client::new(format!("http://{}", app.admin_addr()));
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(app.run(shutdown.clone()));
    wait_until(LIMIT, async || admin.get("/readyz").await.status == 200).await;
    RunningService { database, client: Client::new(&base), base, admin, shutdown, task }
}

impl RunningService {
    /// Publishes messages to the event topic.
    pub(crate) async fn publish(&self, messages: &[bus::Received]) {
        let messages: Vec<Message> = messages
            .iter()
            .map(|message| Message {
                body: message.body.clone(),
                attributes: message.attributes.clone(),
            })
            .collect();
        let results = bus(self.database.url())
            .await
            .publish("event-topic", &messages)
            .await
            .expect("published");
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        answer.body
    }

    pub(crate) async fn stop(self) {
        self.stopped().await;
    }

    /// Drains the service and gives its database back.
    pub(crate) async fn stopped(self) -> Database {
        self.shutdown.cancel();
        self.task.await.expect("no panic").expect("drained");
        self.database
    }
}
