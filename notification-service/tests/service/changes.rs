//! Changes of an occurrence that was released: after an outage, and in the memory of a process.

use chrono::{TimeDelta, Utc};
use contract::{Channel, EventType};
use support::wait_until;

use crate::{
    revisions::{BOTH, other},
    test_service::{DueOccurrence, LIMIT, TestService},
};

/// Creates an occurrence whose state is known from a minute ago, as after an outage of the
/// scheduler.
fn late(user: &str, channels: &[Channel]) -> DueOccurrence {
    let mut due = DueOccurrence::now(user, channels);
    due.send.as_of = Some(Utc::now() - TimeDelta::seconds(60));
    due
}

async fn awaits_changes(service: &TestService, due: &DueOccurrence) {
    let waits = (Some("AWAITING_CHANGES".to_owned()), 0);
    wait_until(LIMIT, async || {
        service.wait_for_state(due, Channel::Push, "pending").await == waits
    })
    .await;
}

fn texts(service: &TestService) -> Vec<String> {
    let pushes = service.pushes("token-1");
    pushes.iter().filter_map(|push| push.push()?.body.clone()).collect()
}

/// At the end of an outage, the message may arrive in another batch before the command that cancels
/// it.
#[tokio::test]
async fn delays_late_occurrence_for_its_revision() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
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
            service.wait_for_state(&snoozed, channel, "suppressed").await,
            (Some("CANCELLED".to_owned()), 0)
        );
    }
    service.wait_for_state(&edited, Channel::Push, "sent").await;
    service.wait_for_state(&kept, Channel::Push, "sent").await;
    let mut said = texts(&service);
    said.sort();
    assert_eq!(said, ["Feed the cat", "Water them"]);
    assert!(service.all_emails().is_empty());
}

/// Only messages that waited for the service may have been changed meanwhile.
#[tokio::test]
async fn awaits_changes_of_occurrence_late_in_queue() {
    let mut service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.stop().await;
    let waited = service.publish_due("ada", &[Channel::Push]).await;
    let a_minute_ago =
        r#"update pgmq."q_notification-queue" set enqueued_at = enqueued_at - interval '1 minute'"#;
    sqlx::query(a_minute_ago).execute(&service.pool).await.expect("made older");
    service.restart().await;
    awaits_changes(&service, &waited).await;
    let fresh = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&fresh, Channel::Push, "sent").await;
    assert_eq!(service.pushes("token-1").len(), 1, "the other one is delayed");

    service.publish(&[waited.cancelled(4)]).await;
    assert_eq!(
        service.wait_for_state(&waited, Channel::Push, "suppressed").await,
        (Some("CANCELLED".to_owned()), 0)
    );
}

/// Waits until a process holds the deliveries of the occurrence in memory.
async fn wait_until_held(service: &TestService, due: &DueOccurrence) {
    let held = "select count(*) > 0 and bool_and(leased) from deliveries where occurrence_id = $1";
    wait_until(LIMIT, async || {
        sqlx::query_scalar(held).bind(due.id()).fetch_one(&service.pool).await.unwrap_or(false)
    })
    .await;
}

/// Starts a service that allows each user one attempt in flight on a channel, with slow providers
/// and one attempt of Ada in flight on both channels.
async fn start_busy_service(latency_ms: u64) -> TestService {
    let variables = [("PUSH_MAX_IN_FLIGHT", "2"), ("EMAIL_MAX_IN_FLIGHT", "2")];
    let service = TestService::start_with(&variables).await;
    service.register_device("ada", "token-1").await;
    service.set_provider_mode(|mode| {
        (mode.fcm.latency_ms, mode.ses.latency_ms) = (latency_ms, latency_ms)
    });
    let first = service.publish_due("ada", &BOTH).await;
    wait_until_held(&service, &first).await;
    service
}

#[tokio::test]
async fn recalls_delivery_in_memory() {
    let service = start_busy_service(2_500).await;
    let (cancelled, edited) =
        (DueOccurrence::now("ada", &[Channel::Push]), DueOccurrence::now("ada", &BOTH));
    service.publish(&[cancelled.message(), edited.message()]).await;
    for due in [&cancelled, &edited] {
        wait_until_held(&service, due).await;
    }
    service
        .publish(&[cancelled.cancelled(4), edited.updated(4, other(&edited, &[Channel::Push]))])
        .await;

    assert_eq!(
        service.wait_for_state(&cancelled, Channel::Push, "suppressed").await,
        (Some("CANCELLED".to_owned()), 0)
    );
    assert_eq!(
        service.wait_for_state(&edited, Channel::Email, "suppressed").await,
        (Some("CANCELLED".to_owned()), 0)
    );
    // The other channel of the occurrence is sent with the new content.
    assert_eq!(service.wait_for_state(&edited, Channel::Push, "sent").await, (None, 1));
    let published = service.wait_for_outcome(&cancelled, EventType::NotificationSuppressed).await;
    assert_eq!((published.reason.as_deref(), published.attempts), (Some("CANCELLED"), 0));
    assert_eq!(texts(&service), ["Water them", "Feed the cat"]);
    assert_eq!(service.all_emails().len(), 1);
}

/// The replica that holds the delivery is not the one that applies the change.
#[tokio::test]
async fn recalls_delivery_in_memory_of_another_process() {
    let service = start_busy_service(4_000).await;
    let cancelled = service.publish_due("ada", &[Channel::Push]).await;
    wait_until_held(&service, &cancelled).await;
    // As another process applies the change.
    let cancel = "with cancelled as (
            update deliveries set withdrawn = 'CANCELLED' where occurrence_id = $1
            returning occurrence_id, channel
        )
        insert into recalls (occurrence_id, channel, version)
        select occurrence_id, channel, 4 from cancelled";
    sqlx::query(cancel).bind(cancelled.id()).execute(&service.pool).await.expect("cancelled");

    assert_eq!(
        service.wait_for_state(&cancelled, Channel::Push, "suppressed").await,
        (Some("CANCELLED".to_owned()), 0)
    );
    assert_eq!(service.pushes("token-1").len(), 1);
}
