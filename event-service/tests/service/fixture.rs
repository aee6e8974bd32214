//! A database, a handler on it, and messages to feed it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bus::{
    BusSettings, Packing, Receipt, Received, Settlement, SharedBus, settings::PostgresSettings,
};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use contract::{
    Channel, DeliveryState, Envelope, Event, EventType, NotifyContent, OutcomeData, Priority,
    Reason, ReasonCode, ReminderData, Schema, new_id, occurrence_id,
};
use event_service::{consumer::EventHandler, usecases::apply_events::ApplyEvents};
use serde_json::{Value, json};
use service::{consumer::Handler, outbox::Relay};
use sqlx::PgPool;
use support::postgres::Database;
use tokio_util::sync::CancellationToken;

pub(crate) struct TestService {
    pub(crate) database: Database,
    pub(crate) pool: PgPool,
    pub(crate) shutdown: CancellationToken,
    pub(crate) handler: EventHandler,
}

/// A migrated database, and a handler that waits for an unreachable database for up to `patience`.
pub(crate) async fn test_service_with(patience: Duration) -> TestService {
    let database = support::postgres::migrated("events", &event_service::store::MIGRATOR).await;
    let pool = database.pool().await;
    // The relay never runs: messages stay in the outbox, where tests look at them.
    let (_, relay_handle) =
        Relay::new(pool.clone(), bus(database.url()).await, "event-topic".to_owned());
    let shutdown = CancellationToken::new();
    let apply = ApplyEvents { pool: pool.clone(), relay_handle, erasure_recorded: Arc::default() };
    let handler = EventHandler::new(apply, patience, shutdown.clone());
    TestService { database, pool, shutdown, handler }
}

pub(crate) async fn test_service() -> TestService {
    test_service_with(Duration::from_secs(20)).await
}

pub(crate) async fn bus(url: &str) -> SharedBus {
    let settings = PostgresSettings { url: url.to_owned().into(), max_connections: 4 };
    bus::connect(&BusSettings::Postgres(settings), &Packing::default())
        .await
        .expect("usable settings")
}

/// A notification as the database has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredNotification {
    pub(crate) version: i64,
    pub(crate) state: String,
    pub(crate) date: Option<DateTime<Utc>>,
    pub(crate) offsets: Option<Vec<i32>>,
    pub(crate) content: Option<Value>,
}

impl TestService {
    /// Handles a batch of messages, each of which must be done.
    pub(crate) async fn apply(&self, batch: &[Received]) {
        let settlements = self.handler.handle(batch).await;
        assert!(
            settlements.iter().all(|settlement| *settlement == Settlement::Done),
            "{settlements:?}"
        );
    }

    pub(crate) async fn notification(&self, item: &str) -> Option<StoredNotification> {
        let row = sqlx::query_as(
            "select version, state::text, date, notify_offsets, content from notifications
                where item_id = $1",
        );
        let row: Option<(i64, String, _, _, _)> =
            row.bind(item).fetch_optional(&self.pool).await.expect("a row");
        row.map(|(version, state, date, offsets, content)| StoredNotification {
            version,
            state,
            date,
            offsets,
            content,
        })
    }

    /// The states of an item's occurrences by their time.
    pub(crate) async fn occurrences(&self, item: &str) -> BTreeMap<DateTime<Utc>, String> {
        let rows = sqlx::query_as(
            "select due_at, occurrences.state::text from occurrences
                join notifications on notifications.id = notification_id where item_id = $1",
        );
        rows.bind(item).fetch_all(&self.pool).await.expect("rows").into_iter().collect()
    }

    pub(crate) async fn count(&self, table: &'static str) -> i64 {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("a count")
    }

    /// The kinds of facts in the outbox, in no order.
    pub(crate) async fn published_types(&self) -> Vec<String> {
        let sql = "select attributes->>'eventType' from outbox order by 1";
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.expect("facts")
    }
}

/// Now, in the milliseconds that messages carry.
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().duration_trunc(TimeDelta::milliseconds(1)).expect("in range")
}

pub(crate) fn hours(count: i64) -> TimeDelta {
    TimeDelta::hours(count)
}

pub(crate) fn minutes(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

pub(crate) fn data(date: DateTime<Utc>, offsets: &[i32]) -> ReminderData {
    let content = NotifyContent {
        channels: vec![Channel::Email, Channel::Push],
        title: Some("Tablets".to_owned()),
        message: "Two, with water".to_owned(),
        url: None,
        data: BTreeMap::new(),
        priority: Priority::Normal,
        locale: None,
        time_zone: "Europe/Berlin".to_owned(),
        expires_after_minutes: 60,
    };
    ReminderData {
        date,
        notify_offsets: offsets.to_vec(),
        recurrence: None,
        snooze: None,
        acknowledged: None,
        paused: false,
        changed_occurrences: Vec::new(),
        content,
    }
}

/// An event of an item, made at `occurred_at`.
pub(crate) fn event<D>(
    event_type: EventType,
    item: &str,
    version: i64,
    occurred_at: DateTime<Utc>,
    data: D,
) -> Event<D> {
    Event {
        event_type,
        event_id: new_id(),
        occurred_at,
        user_id: "user-1".to_owned(),
        user_email: Some("user-1@example.com".to_owned()),
        item_id: item.parse().expect("an id"),
        version,
        schema: Schema::V2,
        traceparent: None,
        data,
    }
}

pub(crate) fn received<D: serde::Serialize>(event: &Event<D>) -> Received {
    let message = event.to_message().expect("JSON");
    Received {
        receipt: Receipt("receipt".to_owned()),
        message_id: event.event_id.to_string(),
        body: message.body,
        attributes: message.attributes,
        receive_count: 1,
        sent_at: event.occurred_at,
    }
}

pub(crate) fn created(item: &str, version: i64, date: DateTime<Utc>, offsets: &[i32]) -> Received {
    received(&event(EventType::ReminderCreated, item, version, now(), data(date, offsets)))
}

pub(crate) fn updated(item: &str, version: i64, date: DateTime<Utc>, offsets: &[i32]) -> Received {
    received(&event(EventType::ReminderUpdated, item, version, now(), data(date, offsets)))
}

pub(crate) fn deleted(item: &str, version: i64) -> Received {
    received(&event(EventType::ReminderDeleted, item, version, now(), json!({})))
}

/// Builds the outcome of one of several deliveries of the occurrence at `due_at`.
pub(crate) fn outcome(
    item: &str,
    due_at: DateTime<Utc>,
    state: DeliveryState,
    reason: Option<&str>,
    deliveries: i32,
) -> Received {
    let data = OutcomeData {
        occurrence_id: occurrence_id("reminder", item, due_at).simple(),
        source: "reminder".to_owned(),
        channel: Some(Channel::Push),
        device_id: Some(new_id().simple()),
        state,
        corrects: None,
        republished: false,
        reason: reason.map(|reason| ReasonCode::stored(reason.to_owned())),
        attempts: 1,
        due_at,
        item_changed_at: None,
        at: now(),
        until: None,
        provider_message_id: None,
        deliveries,
    };
    let event_type = state.event_type().expect("it tells of something");
    received(&event(event_type, item, 1, now(), data))
}

/// That the delivery of an outcome which was told as sent failed instead.
pub(crate) fn correction(sent: &Received) -> Received {
    let event = Envelope::decode(sent).expect("readable");
    let data = OutcomeData {
        state: DeliveryState::Failed,
        corrects: Some(DeliveryState::Sent),
        reason: Some(Reason::Bounced.into()),
        at: event.occurred_at + minutes(1),
        ..event.outcome().expect("an outcome")
    };
    let (item, at) = (event.item_id.as_str(), data.at);
    received(&self::event(EventType::NotificationFailed, item, event.version, at, data))
}
