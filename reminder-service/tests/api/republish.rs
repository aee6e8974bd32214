//! Reminders whose events are written again after a restore.

use std::time::Duration;

use contract::{Envelope, EventType};
use reminder_service::{
    domain::reconciliation::Difference,
    usecases::{Problem, Progress, Republished, republish_reminders},
};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    messages::receive,
    service::{Service, bus, least, least_with},
};

/// Ignores the progress. A failed event is counted in the result.
struct Quiet;

impl Progress for Quiet {
    fn done(&mut self, _: usize) {}

    fn failed(&mut self, _: Uuid, _: &Problem) {}
}

/// Writes the events of differences, given as lines with blanks for tabs.
async fn republish(database_url: &str, lines: &[String], is_dry_run: bool) -> Republished {
    let pool = PgPool::connect(database_url).await.expect("connects");
    let differences: Vec<Difference> =
        lines.iter().map(|line| line.replace(' ', "\t").parse().expect("a difference")).collect();
    republish_reminders(&pool, &differences, is_dry_run, &mut Quiet).await.expect("written")
}

/// Restarts the service, whose relay then publishes the rows without a lease.
async fn restarted(service: Service) -> Service {
    let service = Service::start_on(service.stop().await, &[]).await;
    service.ready().await;
    service
}

fn summary(events: &[Envelope]) -> Vec<(EventType, i64)> {
    events.iter().map(|event| (event.event_type, event.version)).collect()
}

#[tokio::test]
async fn republishes_same_data_as_creation() {
    let service = Service::start().await;
    let bus = bus(service.database.url()).await.expect("a bus");
    let fields = json!({
        "channels": ["push", "email"], "notifyOffsets": [10, 0], "title": "Tablets",
        "url": "https://example.com/", "data": {"key": "value"}, "locale": "de",
        "priority": "high", "timeZone": "Europe/Berlin", "expiresAfterMinutes": 60,
        "recurrence": {"rrule": "FREQ=DAILY", "exdates": [], "gap": "skip", "fold": "both"},
    });
    let id = service.make(&least_with(fields)).await.replace('-', "");
    let [created] = <[Envelope; 1]>::try_from(receive(&bus, 1).await).expect("one event");

    let lines = [format!("missing {id} ada ada@example.com \\N")];
    let counts = republish(service.database.url(), &lines, false).await;
    assert_eq!(counts, Republished { updated: 1, ..Republished::default() });
    republish(service.database.url(), &lines, false).await;
    let service = restarted(service).await;

    let [updated] = <[Envelope; 1]>::try_from(receive(&bus, 1).await).expect("one event");
    assert_eq!(summary(std::slice::from_ref(&updated)), [(EventType::ReminderUpdated, 1)]);
    assert_eq!(updated.data, created.data);
    assert_eq!((updated.user_id, updated.user_email), (created.user_id, created.user_email));
    assert_eq!((updated.item_id, updated.schema), (created.item_id, created.schema));
    assert_eq!(updated.occurred_at, created.occurred_at);
    drop(service);
}

#[tokio::test]
async fn raises_version_beyond_known_one_and_deletes() {
    let service = Service::start().await;
    let bus = bus(service.database.url()).await.expect("a bus");
    let id = service.make(&least()).await.replace('-', "");
    receive(&bus, 1).await;
    let (gone, other) = (Uuid::from_u128(1).simple(), Uuid::from_u128(2).simple());
    let lines = [
        format!("ahead {id} ada \\N 7"),
        format!("unknown {gone} ada \\N 3"),
        // Somebody else's, created, and deleted since the comparison.
        format!("unknown {id} ada \\N 1"),
        format!("behind {other} ada \\N 1"),
    ];
    let expected = Republished { updated: 1, deleted: 1, changed: 2, failed: 0 };
    assert_eq!(republish(service.database.url(), &lines, true).await, expected);
    let pool = PgPool::connect(service.database.url()).await.expect("connects");
    let version: i64 = sqlx::query_scalar("select version from reminders")
        .fetch_one(&pool)
        .await
        .expect("a version");
    assert_eq!(version, 1, "a dry run changes nothing");

    assert_eq!(republish(service.database.url(), &lines, false).await, expected);
    let service = restarted(service).await;
    let events = receive(&bus, 2).await;
    assert_eq!(
        summary(&events),
        [(EventType::ReminderDeleted, 4), (EventType::ReminderUpdated, 8)]
    );
    tokio::time::timeout(Duration::from_secs(20), service.stop()).await.expect("it ends");
}
