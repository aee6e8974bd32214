//! A running service with everything around it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use notification_service::{App, Config, store::MIGRATOR};
use sandbox::{Captured, Mode, Sandbox};
use serde_json::json;
use shared::{
    bus::{self, Message, QueueSpec, Settlement, SharedBus, Subscription, Topology},
    contract::{
        Channel, Envelope, ErasedData, Event, EventType, NotifyContent, OutcomeData, Priority,
        RevisionData, Schema, SendData, new_id, occurrence_id,
    },
};
use sqlx::PgPool;
use support::{eventually, http::Client, postgres::Database};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
const FACTS: &str = "facts";

/// The service, and what surrounds it.
pub(crate) struct Service {
    pub(crate) sandbox: Sandbox,
    pub(crate) pool: PgPool,
    pub(crate) bus: SharedBus,
    url: String,
    admin_url: String,
    shutdown: CancellationToken,
    /// The service's own: a database cannot be dropped while a connection to the server is being
    /// opened, so whoever opens connections must be able to end while a test's thread waits for the
    /// drop.
    runtime: Option<Runtime>,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    facts: Mutex<HashMap<uuid::Uuid, Envelope>>,
    environment: BTreeMap<String, String>,
    _database: Database,
}

impl Service {
    /// Starts the service.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts the service with some variables set differently.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_in(variables, |_| {}).await
    }

    /// Starts the service with some variables set differently, and providers that behave so from
    /// the start.
    pub(crate) async fn start_in(
        variables: &[(&str, &str)],
        change: impl FnOnce(&mut Mode),
    ) -> Self {
        let database = support::postgres::migrated("notification", &MIGRATOR).await;
        let sandbox = Sandbox::start(sandbox::Options::default()).await.expect("a sandbox");
        let mut mode = usual();
        change(&mut mode);
        sandbox.set_mode(mode);
        let environment = environment(database.url(), &sandbox, variables);
        let pool = database.pool().await;
        let config = Config::read(&environment).expect("a complete environment");
        let bus = bus::connect(&config.bus.settings).await.expect("a bus");
        let from_events =
            Subscription { topic: config.bus.event_topic.clone(), filter: BTreeMap::new() };
        let queue = QueueSpec {
            queue: FACTS.to_owned(),
            max_receive_count: 100,
            subscriptions: vec![from_events],
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
            facts: Mutex::default(),
            environment,
            _database: database,
        };
        service.run().await;
        service
    }

    /// Starts the service again on the same database.
    pub(crate) async fn run(&mut self) {
        // What is counted before the recorder is there is lost; a process installs it first of all.
        shared::telemetry::metrics_handle();
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
        eventually(LIMIT, async || admin.get("/readyz").await.status == 200).await;
    }

    /// Starts another replica of the service with some variables set differently; it ends with the
    /// service.
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
        eventually(LIMIT, async || admin.get("/readyz").await.status == 200).await;
        Replica { shutdown, running }
    }

    /// A variable of the service.
    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// Returns how many times SES was asked for the account's quota.
    pub(crate) fn quotas_read(&self) -> u64 {
        self.sandbox.stats().quotas_read
    }

    /// Stops the service and waits until it has drained.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        let running = self.running.take().expect("it runs");
        running.await.expect("no panic").expect("a clean end");
    }

    /// The REST API as a user.
    pub(crate) fn user(&self, id: &str) -> Client {
        Client::new(&self.url).as_user(id, &format!("{id}@example.com"))
    }

    /// The REST API as nobody.
    pub(crate) fn nobody(&self) -> Client {
        Client::new(&self.url)
    }

    /// Opens a user's stream of deliveries, after an event when one is given.
    pub(crate) async fn stream(
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

    /// Registers a device of a user and answers its id.
    pub(crate) async fn device(&self, user: &str, token: &str) -> String {
        self.device_of_type(user, token, "android").await
    }

    /// Registers a device of a type and answers its id.
    pub(crate) async fn device_of_type(
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

    /// Lets an occurrence come due for a user.
    pub(crate) async fn due(&self, user: &str, channels: &[Channel]) -> Due {
        let due = Due::now(user, channels);
        self.publish(&[due.message()]).await;
        due
    }

    /// Publishes to the topic of what is due.
    pub(crate) async fn publish(&self, messages: &[Message]) {
        let results =
            self.bus.publish("notification-topic", messages).await.expect("the bus is there");
        results.into_iter().for_each(|result| result.expect("published"));
    }

    /// Waits until a delivery of the occurrence ended (or waits again) as expected, and answers its
    /// reason and attempts.
    pub(crate) async fn ends(
        &self,
        due: &Due,
        channel: Channel,
        state: &str,
    ) -> (Option<String>, i32) {
        eventually(LIMIT, async || {
            let row: Option<(String, Option<String>, i32)> = sqlx::query_as(
                "select state, reason, attempts from deliveries where occurrence_id = $1 and channel = $2",
            )
            .bind(due.id())
            .bind(channel.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| error.to_string())?;
            match row {
                Some((found, reason, attempts)) if found == state => Ok((reason, attempts)),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Waits until the push of an occurrence to one device ended as expected, and answers its
    /// reason.
    pub(crate) async fn ends_on(&self, due: &Due, device: &str, state: &str) -> Option<String> {
        let device: uuid::Uuid = device.parse().expect("a device's id");
        eventually(LIMIT, async || {
            let row: Option<(String, Option<String>)> = sqlx::query_as(
                "select state, reason from deliveries where occurrence_id = $1 and device_id = $2",
            )
            .bind(due.id())
            .bind(device)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| error.to_string())?;
            match row {
                Some((found, reason)) if found == state => Ok(reason),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Lets every retry be due now.
    pub(crate) async fn hurry(&self) {
        sqlx::query("update deliveries set next_attempt_at = now() where state = 'pending' and attempts > 0 and next_attempt_at > now()")
            .execute(&self.pool)
            .await
            .expect("hurried");
    }

    /// Lets it be night for a user, from an hour ago for another hour.
    pub(crate) async fn night(&self, user: &str) {
        let at = |hours| (Utc::now() + TimeDelta::hours(hours)).format("%H:%M").to_string();
        let preferences = json!({"quietHours": {"start": at(-1), "end": at(1)}});
        self.user(user).put("/preferences", &preferences).await.expect(200);
    }

    /// Lets the night be over for a user, who has no other preferences.
    pub(crate) async fn morning(&self, user: &str) {
        self.user(user).put("/preferences", &json!({})).await.expect(200);
    }

    /// Waits until nothing is left in the queue of what is due.
    pub(crate) async fn consumed(&self) {
        eventually(LIMIT, async || {
            self.bus
                .depth("notification-queue")
                .await
                .is_ok_and(|depth| depth.visible + depth.in_flight == 0)
        })
        .await;
    }

    /// How many deliveries are in this state.
    pub(crate) async fn count(&self, state: &str) -> i64 {
        let count =
            sqlx::query_scalar("select count(*) from deliveries where state = $1").bind(state);
        count.fetch_one(&self.pool).await.expect("counted")
    }

    /// Counts the pending deliveries that have a reason: they were attempted, or held for what
    /// another attempt met.
    pub(crate) async fn attempted(&self) -> i64 {
        let count = sqlx::query_scalar(
            "select count(*) from deliveries where state = 'pending' and reason is not null",
        );
        count.fetch_one(&self.pool).await.expect("counted")
    }

    /// Returns the number of e-mails that are noted to be left of the day's quota.
    pub(crate) async fn day_left(&self) -> Option<i64> {
        let left = sqlx::query_scalar("select day_left from send_budgets where channel = 'email'");
        left.fetch_one(&self.pool).await.expect("a row")
    }

    /// The pushes to a token that FCM accepted.
    pub(crate) fn pushes(&self, token: &str) -> Vec<std::sync::Arc<Captured>> {
        self.sandbox
            .captured()
            .into_iter()
            .filter(|it| it.push().is_some_and(|push| push.token == token))
            .collect()
    }

    /// Every e-mail that SES accepted.
    pub(crate) fn all_emails(&self) -> Vec<std::sync::Arc<Captured>> {
        self.sandbox.captured().into_iter().filter(|captured| captured.email().is_some()).collect()
    }

    /// The e-mails to an address that SES accepted.
    pub(crate) fn emails(&self, address: &str) -> Vec<std::sync::Arc<Captured>> {
        let to =
            |it: &Captured| it.email().is_some_and(|email| email.to.iter().any(|to| to == address));
        self.sandbox.captured().into_iter().filter(|it| to(it)).collect()
    }

    /// Waits until the topic of facts told this of the item, and answers it.
    pub(crate) async fn fact(&self, event_type: EventType, item_id: &str) -> Envelope {
        eventually(LIMIT, async || {
            self.receive_facts().await;
            self.told()
                .into_iter()
                .find(|it| it.event_type == event_type && it.item_id.as_str() == item_id)
        })
        .await
    }

    /// The outcome that the topic of facts told of an occurrence.
    pub(crate) async fn outcome(&self, due: &Due, event_type: EventType) -> OutcomeData {
        self.fact(event_type, due.send.item_id.as_str()).await.outcome().expect("an outcome")
    }

    /// Every fact that was told so far.
    pub(crate) fn told(&self) -> Vec<Envelope> {
        self.facts.lock().expect("no panic while it is held").values().cloned().collect()
    }

    /// Takes what lies in the queue of facts.
    pub(crate) async fn receive_facts(&self) {
        let received = self
            .bus
            .receive(FACTS, 500, Duration::from_secs(30), Duration::ZERO)
            .await
            .expect("facts");
        for message in &received {
            let fact = Envelope::decode(message).expect("a readable fact");
            self.facts.lock().expect("no panic while it is held").insert(fact.event_id, fact);
        }
        let settlements = received.into_iter().map(|it| (it, Settlement::Done)).collect();
        self.bus.settle(FACTS, settlements).await.expect("settled");
    }

    /// Changes how the providers behave.
    pub(crate) fn mode(&self, change: impl FnOnce(&mut Mode)) {
        let mut mode = usual();
        change(&mut mode);
        self.sandbox.set_mode(mode);
    }

    /// A figure of the service's metrics, summed over its series whose labels contain `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = Client::new(&self.admin_url).get("/metrics").await.expect(200).body;
        let lines = text
            .as_str()
            .unwrap_or_default()
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(labels));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// Another replica of a service.
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

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Everything works, and SES allows more than is sent here.
fn usual() -> Mode {
    let mut mode = Mode::default();
    mode.ses.max_send_rate = Some(100_000);
    mode
}

fn environment(
    url: &str,
    sandbox: &Sandbox,
    variables: &[(&str, &str)],
) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        ("BIND_ADDRESS", "127.0.0.1"),
        ("PORT", "0"),
        ("ADMIN_PORT", "0"),
        ("DATABASE_URL", url),
        ("BUS", "postgres"),
        ("BUS_DATABASE_URL", url),
        ("FCM_PROJECT_CONFIG", &sandbox.fcm_project_config()),
        ("FCM_ENDPOINT", &sandbox.url()),
        ("AWS_ENDPOINT_URL", &sandbox.url()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("SES_SOURCE_EMAIL", "reminders@example.com"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    environment
        .extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    environment
}

/// An occurrence that is due.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) user: String,
    pub(crate) email: Option<String>,
    pub(crate) send: SendData,
}

impl Due {
    /// Due now, for a while.
    pub(crate) fn now(user: &str, channels: &[Channel]) -> Self {
        Self::at(user, channels, Utc::now())
    }

    /// Due at some time, for an hour.
    pub(crate) fn at(user: &str, channels: &[Channel], due_at: DateTime<Utc>) -> Self {
        let item_id = new_id().into();
        let content = NotifyContent {
            channels: channels.to_vec(),
            title: Some("Plants".to_owned()),
            message: "Water them".to_owned(),
            url: Some("https://example.com/plants".to_owned()),
            data: BTreeMap::new(),
            priority: Priority::Normal,
            locale: None,
            time_zone: "Europe/Berlin".to_owned(),
            expires_after_minutes: 60,
        };
        let send = SendData {
            occurrence_id: occurrence_id(
                "reminder",
                &String::from(shared::contract::ItemId::clone(&item_id)),
                due_at,
            )
            .simple(),
            source: "reminder".to_owned(),
            item_id,
            due_at,
            date: due_at,
            expires_at: due_at + TimeDelta::hours(1),
            item_changed_at: None,
            as_of: None,
            content,
        };
        Self { user: user.to_owned(), email: Some(format!("{user}@example.com")), send }
    }

    /// Another occurrence of the same item.
    pub(crate) fn again(&self, due_at: DateTime<Utc>) -> Self {
        let mut again = Self::at(&self.user, &self.send.content.channels, due_at);
        again.send.item_id = self.send.item_id.clone();
        again.send.occurrence_id =
            occurrence_id("reminder", again.send.item_id.as_str(), due_at).simple();
        again
    }

    /// The occurrence's id.
    pub(crate) fn id(&self) -> uuid::Uuid {
        self.send.occurrence_id.into_uuid()
    }

    /// The message of the scheduler; each has an event id of its own, as after a crash of the
    /// scheduler.
    pub(crate) fn message(&self) -> Message {
        self.event(EventType::NotificationSend, 3, self.send.clone())
    }

    /// The message that it says something else in this version.
    pub(crate) fn updated(&self, version: i64, content: NotifyContent) -> Message {
        self.event(EventType::NotificationUpdate, version, self.revision(Some(content)))
    }

    /// The message that it is cancelled in this version.
    pub(crate) fn cancelled(&self, version: i64) -> Message {
        self.event(EventType::NotificationDelete, version, self.revision(None))
    }

    fn revision(&self, content: Option<NotifyContent>) -> RevisionData {
        RevisionData {
            source: self.send.source.clone(),
            occurrences: vec![self.send.occurrence_id],
            content,
            reason: None,
        }
    }

    pub(crate) fn event<D: serde::Serialize>(
        &self,
        event_type: EventType,
        version: i64,
        data: D,
    ) -> Message {
        let event = Event {
            event_type,
            event_id: new_id(),
            occurred_at: Utc::now(),
            user_id: self.user.clone(),
            user_email: self.email.clone(),
            item_id: self.send.item_id.clone(),
            version,
            schema: Schema::V2,
            traceparent: None,
            data,
        };
        event.to_message().expect("JSON")
    }
}

/// The message that a user is erased with everything up to a time.
pub(crate) fn erased(user: &str, at: DateTime<Utc>) -> Message {
    let receipt = shared::contract::ItemId::from(new_id());
    let event = Event {
        event_type: EventType::UserErased,
        event_id: new_id(),
        occurred_at: at,
        user_id: user.to_owned(),
        user_email: None,
        item_id: receipt.clone(),
        version: 1,
        schema: Schema::V2,
        traceparent: None,
        data: ErasedData { receipt_id: receipt },
    };
    event.to_message().expect("JSON")
}
