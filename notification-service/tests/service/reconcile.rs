//! Commands `notification:reconcile` about occurrences without an outcome in event-service.

use chrono::{TimeDelta, Utc};
use contract::{Channel, DeliveryState, EventType, ReconcileData, Unknown};

use crate::{
    revisions::count_revisions,
    test_service::{DueOccurrence, LIMIT, TestService},
};
use support::wait_until;

/// Returns the command about an occurrence, which is sent unless it has expired.
fn reconcile_command(due: &DueOccurrence, otherwise: Unknown) -> bus::Message {
    let is_ahead = due.send.expires_at > Utc::now() && otherwise == Unknown::LostInTransit;
    due.event(
        EventType::NotificationReconcile,
        3,
        ReconcileData {
            occurrence_id: due.send.occurrence_id,
            source: due.send.source.clone(),
            due_at: due.send.due_at,
            send: is_ahead.then(|| due.send.clone()),
            otherwise,
        },
    )
}

#[tokio::test]
async fn sends_lost_occurrence_once() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let due = DueOccurrence::now("ada", &[Channel::Push]);
    service
        .publish(&[
            reconcile_command(&due, Unknown::LostInTransit),
            reconcile_command(&due, Unknown::LostInTransit),
        ])
        .await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    // The first message is redriven from its dead-letter queue.
    service.publish(&[due.message()]).await;
    service.wait_until_consumed().await;
    assert_eq!((service.pushes("token-1").len(), service.count_in_state("sent").await), (1, 1));
}

#[tokio::test]
async fn republishes_outcome_when_first_is_parked() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    let first =
        service.wait_for_event(EventType::NotificationSent, due.send.item_id.as_str()).await;
    // As if the outcome had never been published: parked, under its own id.
    let parked = "insert into outbox (event_id, body, attributes, lease_until, parked_reason)
        values ($1, '{}', '{}', now(), 'unpublishable')";
    sqlx::query(parked).bind(first.event_id).execute(&service.pool).await.expect("parked");
    service.publish(&[reconcile_command(&due, Unknown::LostInTransit)]).await;

    wait_until(LIMIT, async || {
        service.receive_events().await;
        service.received_events().iter().any(|event| {
            event.event_id == first.event_id && event.outcome().is_ok_and(|data| data.republished)
        })
    })
    .await;
    let again = service.wait_for_outcome(&due, EventType::NotificationSent).await;
    let first = first.outcome().expect("an outcome");
    assert_eq!(
        (again.state, again.device_id, again.deliveries),
        (first.state, first.device_id, first.deliveries)
    );
    assert_eq!(service.pushes("token-1").len(), 1);
}

#[tokio::test]
async fn keeps_occurrence_deferred_when_reconciled() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.start_quiet_hours("ada").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "deferred").await;
    service.publish(&[reconcile_command(&due, Unknown::LostInTransit)]).await;
    wait_until(LIMIT, async || {
        service.wait_for_outcome(&due, EventType::NotificationDeferred).await.republished
    })
    .await;
    assert_eq!((service.count_in_state("deferred").await, service.pushes("token-1").len()), (1, 0));
    service.clear_preferences("ada").await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    assert_eq!(service.pushes("token-1").len(), 1);
}

#[tokio::test]
async fn publishes_outcome_of_unknown_occurrence() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let late = DueOccurrence::at("ada", &[Channel::Push], Utc::now() - TimeDelta::hours(3));
    let cancelled = DueOccurrence::now("ada", &[Channel::Push]);
    let deleted = DueOccurrence::now("ada", &[Channel::Push]);
    service.publish(&[deleted.cancelled(4)]).await;
    wait_until(LIMIT, async || count_revisions(&service).await == 1).await;
    service
        .publish(&[
            reconcile_command(&late, Unknown::LostInTransit),
            reconcile_command(&cancelled, Unknown::Cancelled),
            reconcile_command(&deleted, Unknown::Cancelled),
        ])
        .await;

    let lost = service.wait_for_outcome(&late, EventType::NotificationFailed).await;
    assert_eq!(
        (lost.state, lost.reason.as_deref()),
        (DeliveryState::Failed, Some("LOST_IN_TRANSIT"))
    );
    for (due, reason) in [(&cancelled, "CANCELLED"), (&deleted, "DELETED")] {
        let ended = service.wait_for_outcome(due, EventType::NotificationSuppressed).await;
        assert_eq!(
            (ended.reason.as_deref(), ended.republished, ended.channel),
            (Some(reason), true, None)
        );
    }
    assert!(service.pushes("token-1").is_empty());
}

#[tokio::test]
async fn republishes_both_outcomes_of_bounced_email() {
    let service = TestService::start().await;
    let due = service.publish_due("ada", &[Channel::Email]).await;
    service.wait_for_event(EventType::NotificationSent, due.send.item_id.as_str()).await;
    sqlx::query("update deliveries set state = 'failed', reason = 'BOUNCED'")
        .execute(&service.pool)
        .await
        .expect("bounced");
    service.publish(&[reconcile_command(&due, Unknown::LostInTransit)]).await;
    wait_until(LIMIT, async || {
        service.wait_for_outcome(&due, EventType::NotificationFailed).await.republished
    })
    .await;
    wait_until(LIMIT, async || {
        service.wait_for_outcome(&due, EventType::NotificationSent).await.republished
    })
    .await;
    let failed = service.wait_for_outcome(&due, EventType::NotificationFailed).await;
    assert_eq!(
        (failed.corrects, failed.reason.as_deref()),
        (Some(DeliveryState::Sent), Some("BOUNCED"))
    );
}

#[tokio::test]
async fn reconciles_others_when_one_command_fails() {
    let service = TestService::start().await;
    let fail = "create function fail() returns trigger language plpgsql as $$ begin
            if new.attributes->>'userId' = 'eve'
                then raise exception 'scripted' using errcode = '57014'; end if;
            return new;
        end $$;
        create trigger fail before insert on outbox for each row execute function fail();";
    sqlx::raw_sql(fail).execute(&service.pool).await.expect("a trigger");
    let late =
        |user: &str| DueOccurrence::at(user, &[Channel::Push], Utc::now() - TimeDelta::hours(3));
    let mut dues: Vec<DueOccurrence> =
        (0..12).map(|number| late(&format!("user-{number}"))).collect();
    dues.insert(6, late("eve"));

    service
        .publish(
            &dues
                .iter()
                .map(|due| reconcile_command(due, Unknown::LostInTransit))
                .collect::<Vec<_>>(),
        )
        .await;

    for due in dues.iter().filter(|due| due.user != "eve") {
        let lost = service.wait_for_outcome(due, EventType::NotificationFailed).await;
        assert_eq!(lost.reason.as_deref(), Some("LOST_IN_TRANSIT"));
    }
}
