//! The test kit: a running notification-service with its database, bus and providers.

mod deliveries;
mod due_occurrence;
mod environment;
mod events;
mod providers;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
    time::Duration,
};

use bus::{Message, QueueSpec, SharedBus, Subscription, Topology};
use chrono::{TimeDelta, Utc};
use contract::{Channel, Envelope};
use notification_service::{App, Config, store::MIGRATOR};
use sandbox::{Mode, Sandbox};
use serde_json::json;
use sqlx::PgPool;
use support::{http::Client, postgres::Database, wait_until};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::due_occurrence::{DueOccurrence, erasure_message};
use self::{environment::environment, providers::default_mode};

/// Longest wait for anything that a test waits for.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Queue of the events that the service publishes.
const EVENT_QUEUE: &str = "facts";

/// Running service with its database, bus and providers.
pub(crate) struct TestService {
    pub(crate) sandbox: Sandbox,
    pub(crate) pool: PgPool,
    pub(crate) bus: SharedBus,
    url: String,
    admin_url: String,
    shutdown: CancellationToken,
    /// Separate runtime of the service. A database cannot be dropped while a connection to the
    /// server is being opened, so the service must be able to stop while the thread of the test
    /// waits for the drop.
    runtime: Option<Runtime>,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    events: Mutex<HashMap<uuid::Uuid, Envelope>>,
    environment: BTreeMap<String, String>,
    _database: Database,
}

impl TestService {
    /// Starts the service.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts the service with some environment variables changed.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_with_providers(variables, |_| {}).await
    }

    /// Starts the service with some environment variables changed, and with the initial mode of the
    /// providers changed.
    pub(crate) async fn start_with_providers(
        variables: &[(&str, &str)],
        change: impl FnOnce(&mut Mode),
    ) -> Self {
        let database = support::postgres::migrated("notification", &MIGRATOR).await;
        let sandbox = Sandbox::start(sandbox::Options::default()).await.expect("a sandbox");
        let mut mode = default_mode();
        change(&mut mode);
        sandbox.set_mode(mode);
        let environment = environment(database.url(), &sandbox, variables);
        let pool = database.pool().await;
        let config = Config::read(&environment).expect("a complete environment");
        let bus = config.bus.connect().await.expect("a bus");
        let subscription =
            Subscription { topic: config.bus.event_topic.clone(), filter: BTreeMap::new() };
        let queue = QueueSpec {
            queue: EVENT_QUEUE.to_owned(),
            max_receive_count: 100,
            subscriptions: vec![subscription],
        };
        let topology =
            Topology { topics: vec![config.bus.event_topic.clone()], queues: vec![queue] };
        bus.ensure(&topology).await.expect("a topology");
        let mut service = Self {
            sandbox,
            pool,
            bus,
            url: String::new(),
            admin_url: String::new(),
            shutdown: CancellationToken::new(),
            runtime: Some(runtime()),
            running: None,
            events: Mutex::default(),
            environment,
            _database: database,
        };
        service.restart().await;
        service
    }

    /// Starts the service again on the same database.
    pub(crate) async fn restart(&mut self) {
        // A process installs the recorder first, because earlier counts are lost.
        service::telemetry::metrics_handle();
        let config = Config::read(&self.environment).expect("a complete environment");
        let runtime = self.runtime.as_ref().expect("it is there until the end").handle().clone();
        let app = runtime
            .spawn(App::build(config))
            .await
            .expect("no panic")
            .expect("the service is built");
        self.url = format!("http://{}", app.rest_addr());
        self.admin_url = format!("http://{}", app.admin_addr());
        self.shutdown = CancellationToken::new();
        self.running = Some(runtime.spawn(app.run(self.shutdown.clone())));
        let admin = Client::new(&self.admin_url);
        wait_until(LIMIT, async || admin.get("/readyz").await.status == 200).await;
    }

    /// Starts another replica of the service with some environment variables changed. It stops with
    /// the service.
    pub(crate) async fn replica(&self, variables: &[(&str, &str)]) -> Replica {
        let mut environment = self.environment.clone();
        environment.extend(
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let config = Config::read(&environment).expect("a complete environment");
        let runtime = self.runtime.as_ref().expect("it is there until the end").handle().clone();
        let app = runtime
            .spawn(App::build(config))
            .await
            .expect("no panic")
            .expect("the replica is built");
        let admin = Client::new(format!("http://{}", app.admin_addr()));
        let shutdown = CancellationToken::new();
        let running = runtime.spawn(app.run(shutdown.clone()));
        wait_until(LIMIT, async || admin.get("/readyz").await.status == 200).await;
        Replica { shutdown, running }
    }

    /// Returns an environment variable of the service.
    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// Stops the service and waits until it has drained.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        let running = self.running.take().expect("it runs");
        running.await.expect("no panic").expect("a clean end");
    }

    /// Returns a client of the REST API as a user.
    pub(crate) fn user(&self, id: &str) -> Client {
        Client::new(&self.url).as_user(id, &format!("{id}@example.com"))
    }

    /// Returns a client of the REST API without identity.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(&self.url)
    }

    /// Opens a user's stream of deliveries, after an event if one is given.
    pub(crate) async fn open_stream(
        &self,
        user: &str,
        last_event_id: Option<&str>,
    ) -> reqwest::Response {
        let request = support::http::plain().get(format!("{}/notifications/stream", self.url));
        let request = request
            .header("X-Authenticated-Userid", user)
            .header("X-Consumer-Username", "user@example.com");
        let request = last_event_id
            .into_iter()
            .fold(request, |request, id| request.header("Last-Event-ID", id));
        request.send().await.expect("an answer")
    }

    /// Registers an Android device of a user and returns its id.
    pub(crate) async fn register_device(&self, user: &str, token: &str) -> String {
        self.register_device_of_type(user, token, "android").await
    }

    /// Registers a device of a type and returns its id.
    pub(crate) async fn register_device_of_type(
        &self,
        user: &str,
        token: &str,
        device_type: &str,
    ) -> String {
        self.user(user)
            .post("/device/register", &json!({"fcmToken": token, "type": device_type}))
            .await
            .expect(201)
            .id()
    }

    /// Publishes an occurrence of a user that is due now.
    pub(crate) async fn publish_due(&self, user: &str, channels: &[Channel]) -> DueOccurrence {
        let due = DueOccurrence::now(user, channels);
        self.publish(&[due.message()]).await;
        due
    }

    /// Publishes to the topic of due occurrences.
    pub(crate) async fn publish(&self, messages: &[Message]) {
        let results =
            self.bus.publish("notification-topic", messages).await.expect("the bus is there");
        results.into_iter().for_each(|result| result.expect("published"));
    }

    /// Sets quiet hours of a user, from an hour ago until in an hour.
    pub(crate) async fn start_quiet_hours(&self, user: &str) {
        let at = |hours| (Utc::now() + TimeDelta::hours(hours)).format("%H:%M").to_string();
        let preferences = json!({"quietHours": {"start": at(-1), "end": at(1)}});
        self.user(user).put("/preferences", &preferences).await.expect(200);
    }

    /// Resets the preferences of a user, which ends quiet hours.
    pub(crate) async fn clear_preferences(&self, user: &str) {
        self.user(user).put("/preferences", &json!({})).await.expect(200);
    }

    /// Returns a metric of the service, summed over the series whose labels contain `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = Client::new(&self.admin_url).get("/metrics").await.expect(200).body;
        let lines =
            text.as_str().unwrap_or_default().lines().filter(|line| {
                line.split(['{', ' ']).next() == Some(name) && line.contains(labels)
            });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// Another replica of a [`TestService`].
pub(crate) struct Replica {
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    /// Stops the replica and waits until it has drained.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.expect("no panic").expect("a clean end");
    }
}

impl Drop for TestService {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}
