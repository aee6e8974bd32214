//! Changes that meet an occurrence on its way: after an outage, and in the memory of a process.

use chrono::{TimeDelta, Utc};
use shared::contract::{Channel, EventType};
use support::eventually;

use crate::{
    harness::{Due, LIMIT, Service},
    revisions::{BOTH, other},
};

/// An occurrence that was known to be wanted a minute ago, as a scheduler says after an outage.
fn late(user: &str, channels: &[Channel]) -> Due {
    let mut due = Due::now(user, channels);
    due.send.as_of = Some(Utc::now() - TimeDelta::seconds(60));
    due
}

async fn awaits_changes(service: &Service, due: &Due) {
    let waits = (Some("AWAITING_CHANGES".to_owned()), 0);
    eventually(LIMIT, async || service.ends(due, Channel::Push, "pending").await == waits).await;
}

fn texts(service: &Service) -> Vec<String> {
    let pushes = service.pushes("token-1");
    pushes.iter().filter_map(|push| push.push()?.body.clone()).collect()
}

/// At the end of an outage the message may overtake, in another batch, the command that cancels it.
#[tokio::test]
async fn delays_late_occurrence_for_its_revision() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    let (snoozed, edited, kept) =
        (late("ada", &BOTH), late("ada", &BOTH), late("ada", &[Channel::Push]));
    service.publish(&[snoozed.message(), edited.message(), kept.message()]).await;
    for due in [&snoozed, &edited, &kept] {
        awaits_changes(&service, due).await;
    }
    service
        .publish(&[snoozed.cancelled(4), edited.updated(4, other(&edited, &[Channel::Push]))])
        .await;

    for channel in BOTH {
        assert_eq!(
            service.ends(&snoozed, channel, "suppressed").await,
            (Some("CANCELLED".to_owned()), 0)
        );
    }
    service.ends(&edited, Channel::Push, "sent").await;
    service.ends(&kept, Channel::Push, "sent").await;
    let mut said = texts(&service);
    said.sort();
    assert_eq!(said, ["Feed the cat", "Water them"]);
    assert!(service.all_emails().is_empty());
}

/// The messages that waited for the service, and only these, may have been changed meanwhile.
#[tokio::test]
async fn awaits_changes_of_occurrence_late_in_queue() {
    let mut service = Service::start().await;
    service.device("ada", "token-1").await;
    service.stop().await;
    let waited = service.due("ada", &[Channel::Push]).await;
    let a_minute_ago =
        r#"update pgmq."q_notification-queue" set enqueued_at = enqueued_at - interval '1 minute'"#;
    sqlx::query(a_minute_ago).execute(&service.pool).await.expect("made older");
    service.run().await;
    awaits_changes(&service, &waited).await;
    let fresh = service.due("ada", &[Channel::Push]).await;
    service.ends(&fresh, Channel::Push, "sent").await;
    assert_eq!(service.pushes("token-1").len(), 1, "the other one waits");

    service.publish(&[waited.cancelled(4)]).await;
    assert_eq!(
        service.ends(&waited, Channel::Push, "suppressed").await,
        (Some("CANCELLED".to_owned()), 0)
    );
}

/// Waits until a process holds the deliveries of an occurrence in memory.
async fn is_held(service: &Service, due: &Due) {
    let held = "select count(*) > 0 and bool_and(leased) from deliveries where occurrence_id = $1";
    eventually(LIMIT, async || {
        sqlx::query_scalar(held).bind(due.id()).fetch_one(&service.pool).await.unwrap_or(false)
    })
    .await;
}

/// A service of which each user has one attempt in flight on a channel, and providers that take
/// their time; one of Ada's is in flight on both.
async fn busy(latency_ms: u64) -> Service {
    let variables = [("PUSH_MAX_IN_FLIGHT", "2"), ("EMAIL_MAX_IN_FLIGHT", "2")];
    let service = Service::start_with(&variables).await;
    service.device("ada", "token-1").await;
    service.mode(|mode| (mode.fcm.latency_ms, mode.ses.latency_ms) = (latency_ms, latency_ms));
    let first = service.due("ada", &BOTH).await;
    is_held(&service, &first).await;
    service
}

#[tokio::test]
async fn recalls_delivery_in_memory() {
    let service = busy(2_500).await;
    let (cancelled, edited) = (Due::now("ada", &[Channel::Push]), Due::now("ada", &BOTH));
    service.publish(&[cancelled.message(), edited.message()]).await;
    for due in [&cancelled, &edited] {
        is_held(&service, due).await;
    }
    service
        .publish(&[cancelled.cancelled(4), edited.updated(4, other(&edited, &[Channel::Push]))])
        .await;

    assert_eq!(
        service.ends(&cancelled, Channel::Push, "suppressed").await,
        (Some("CANCELLED".to_owned()), 0)
    );
    assert_eq!(
        service.ends(&edited, Channel::Email, "suppressed").await,
        (Some("CANCELLED".to_owned()), 0)
    );
    // The other channel of the same occurrence goes on, as it now is.
    assert_eq!(service.ends(&edited, Channel::Push, "sent").await, (None, 1));
    let told = service.outcome(&cancelled, EventType::NotificationSuppressed).await;
    assert_eq!((told.reason.as_deref(), told.attempts), (Some("CANCELLED"), 0));
    assert_eq!(texts(&service), ["Water them", "Feed the cat"]);
    assert_eq!(service.all_emails().len(), 1);
}

/// The replica that holds it is not the one that hears of the change.
#[tokio::test]
async fn recalls_delivery_in_memory_of_another_process() {
    let service = busy(4_000).await;
    let cancelled = service.due("ada", &[Channel::Push]).await;
    is_held(&service, &cancelled).await;
    // As another process applies it.
    let withdrawn = "with withdrawn as (
            update deliveries set withdrawn = 'CANCELLED' where occurrence_id = $1 returning occurrence_id, channel
        )
        insert into recalls (occurrence_id, channel, version) select occurrence_id, channel, 4 from withdrawn";
    sqlx::query(withdrawn).bind(cancelled.id()).execute(&service.pool).await.expect("withdrawn");

    assert_eq!(
        service.ends(&cancelled, Channel::Push, "suppressed").await,
        (Some("CANCELLED".to_owned()), 0)
    );
    assert_eq!(service.pushes("token-1").len(), 1);
}
