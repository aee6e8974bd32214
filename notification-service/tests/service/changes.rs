//! Changes of an occurrence that was released: after an outage, in the memory of a process, and
//! during attempts.

use std::collections::HashMap;

use chrono::{TimeDelta, Utc};
use contract::{Channel, EventType, Reason};
use serde_json::json;
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
        .publish(&[
            snoozed.cancelled_for(4, Some(Reason::Snoozed)),
            edited.updated(4, other(&edited, &[Channel::Push])),
        ])
        .await;

    for channel in BOTH {
        assert_eq!(
            service.wait_for_state(&snoozed, channel, "suppressed").await,
            (Some("SNOOZED".to_owned()), 0)
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
        (Some("DELETED".to_owned()), 0)
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
        (Some("DELETED".to_owned()), 0)
    );
    assert_eq!(
        service.wait_for_state(&edited, Channel::Email, "suppressed").await,
        (Some("EDITED".to_owned()), 0)
    );
    // The other channel of the occurrence is sent with the new content.
    assert_eq!(service.wait_for_state(&edited, Channel::Push, "sent").await, (None, 1));
    let published = service.wait_for_outcome(&cancelled, EventType::NotificationSuppressed).await;
    assert_eq!((published.reason.as_deref(), published.attempts), (Some("DELETED"), 0));
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
            update deliveries set withdrawn = 'DELETED' where occurrence_id = $1
            returning occurrence_id, channel, device_id, fence
        )
        insert into recalls (occurrence_id, channel, device_id, fence)
        select occurrence_id, channel, device_id, fence from cancelled";
    sqlx::query(cancel).bind(cancelled.id()).execute(&service.pool).await.expect("cancelled");

    assert_eq!(
        service.wait_for_state(&cancelled, Channel::Push, "suppressed").await,
        (Some("DELETED".to_owned()), 0)
    );
    assert_eq!(service.pushes("token-1").len(), 1);
}

/// A recall ends one claim: the delivery is claimed again and sent at once.
#[tokio::test]
async fn sends_recalled_delivery_when_claimed_again() {
    let service = start_busy_service(2_500).await;
    let recalled = service.publish_due("ada", &[Channel::Push]).await;
    wait_until_held(&service, &recalled).await;
    let recall = "insert into recalls (occurrence_id, channel, device_id, fence)
        select occurrence_id, channel, device_id, fence from deliveries where occurrence_id = $1";
    sqlx::query(recall).bind(recalled.id()).execute(&service.pool).await.expect("recalled");

    service.wait_for_state(&recalled, Channel::Push, "sent").await;
    let claims = "select fence from deliveries where occurrence_id = $1";
    let fence: i32 = sqlx::query_scalar(claims)
        .bind(recalled.id())
        .fetch_one(&service.pool)
        .await
        .expect("sent");
    assert_eq!(fence, 1, "claimed once after the recall");
    assert_eq!(service.pushes("token-1").len(), 2);
}

/// Returns the states of all published outcomes for each delivery.
async fn published_outcomes(
    service: &TestService,
) -> HashMap<(uuid::Uuid, Option<uuid::Uuid>), Vec<String>> {
    service.receive_events().await;
    let mut published = HashMap::<_, Vec<String>>::new();
    for outcome in service.received_events().into_iter().filter_map(|fact| fact.outcome().ok()) {
        let key = (
            outcome.occurrence_id.into_uuid(),
            outcome.device_id.map(uuid::fmt::Simple::into_uuid),
        );
        published.entry(key).or_default().push(outcome.state.to_string());
    }
    published
}

#[tokio::test]
async fn publishes_one_outcome_when_changed_while_sent() {
    let service = TestService::start_with(&[("PUSH_MAX_IN_FLIGHT", "8")]).await;
    for token in ["token-1", "token-2", "flaky-1-x"] {
        service.register_device("ada", token).await;
    }
    service.set_provider_mode(|mode| mode.fcm.latency_ms = 15);
    let dues: Vec<DueOccurrence> = (0..150)
        .map(|second| {
            DueOccurrence::at("ada", &[Channel::Push], Utc::now() - TimeDelta::seconds(second))
        })
        .collect();
    for (round, part) in dues.chunks(10).enumerate() {
        service.publish(&part.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
        service
            .publish(&part.iter().step_by(3).map(|due| due.cancelled(4)).collect::<Vec<_>>())
            .await;
        let preferences = json!({"channels": {"push": round % 4 != 3}});
        service.user("ada").put("/preferences", &preferences).await.expect(200);
    }
    service.wait_until_consumed().await;
    wait_until(LIMIT, async || {
        service.make_retries_due().await;
        let waiting = service.count_in_state("pending").await;
        if waiting == 0 { Ok(()) } else { Err(waiting) }
    })
    .await;

    let rows: Vec<(uuid::Uuid, uuid::Uuid, String)> =
        sqlx::query_as("select occurrence_id, device_id, state from deliveries")
            .fetch_all(&service.pool)
            .await
            .expect("rows");
    wait_until(LIMIT, async || {
        let published = published_outcomes(&service).await;
        if published.len() == rows.len() { Ok(()) } else { Err((published.len(), rows.len())) }
    })
    .await;
    let published = published_outcomes(&service).await;
    for (occurrence, device, state) in &rows {
        let device = (!device.is_nil()).then_some(*device);
        assert_eq!(
            published[&(*occurrence, device)],
            std::slice::from_ref(state),
            "{occurrence} {device:?}"
        );
    }
    let accepted = ["token-1", "token-2", "flaky-1-x"]
        .map(|token| service.pushes(token).len())
        .iter()
        .sum::<usize>();
    let in_state = |state: &str| rows.iter().filter(|row| row.2 == state).count();
    assert_eq!(accepted, in_state("sent"), "every accepted message is a sent delivery");
    assert!(
        accepted > 0 && in_state("suppressed") > 0,
        "some changes were in time and some were not"
    );
}
