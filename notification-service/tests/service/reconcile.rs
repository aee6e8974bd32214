//! Questions of event-service about occurrences that have no outcome there.

use chrono::{TimeDelta, Utc};
use shared::contract::{Channel, DeliveryState, EventType, ReconcileData, Unknown};

use crate::test_service::{Due, LIMIT, Service};
use support::eventually;

/// The question about an occurrence, which brings it to be sent unless it has expired.
fn question(due: &Due, otherwise: Unknown) -> shared::bus::Message {
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
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    let due = Due::now("ada", &[Channel::Push]);
    service
        .publish(&[question(&due, Unknown::LostInTransit), question(&due, Unknown::LostInTransit)])
        .await;
    service.ends(&due, Channel::Push, "sent").await;
    // The first message comes out of its dead-letter queue after all.
    service.publish(&[due.message()]).await;
    service.consumed().await;
    assert_eq!((service.pushes("token-1").len(), service.count("sent").await), (1, 1));
}

#[tokio::test]
async fn republishes_outcome_when_first_is_parked() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    let due = service.due("ada", &[Channel::Push]).await;
    let first = service.fact(EventType::NotificationSent, due.send.item_id.as_str()).await;
    // As if it had never been published: parked, under its own id.
    let parked = "insert into outbox (event_id, body, attributes, lease_until, parked_reason)
        values ($1, '{}', '{}', now(), 'unpublishable')";
    sqlx::query(parked).bind(first.event_id).execute(&service.pool).await.expect("parked");
    service.publish(&[question(&due, Unknown::LostInTransit)]).await;

    eventually(LIMIT, async || {
        service.receive_facts().await;
        service
            .told()
            .iter()
            .any(|it| it.event_id == first.event_id && it.outcome().is_ok_and(|data| data.retold))
    })
    .await;
    let again = service.outcome(&due, EventType::NotificationSent).await;
    let first = first.outcome().expect("an outcome");
    assert_eq!(
        (again.state, again.device_id, again.deliveries),
        (first.state, first.device_id, first.deliveries)
    );
    assert_eq!(service.pushes("token-1").len(), 1);
}

#[tokio::test]
async fn keeps_occurrence_deferred_when_reconciled() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    service.night("ada").await;
    let due = service.due("ada", &[Channel::Push]).await;
    service.ends(&due, Channel::Push, "deferred").await;
    service.publish(&[question(&due, Unknown::LostInTransit)]).await;
    eventually(LIMIT, async || service.outcome(&due, EventType::NotificationDeferred).await.retold)
        .await;
    assert_eq!((service.count("deferred").await, service.pushes("token-1").len()), (1, 0));
    service.morning("ada").await;
    service.ends(&due, Channel::Push, "sent").await;
    assert_eq!(service.pushes("token-1").len(), 1);
}

#[tokio::test]
async fn publishes_outcome_of_unknown_occurrence() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    let late = Due::at("ada", &[Channel::Push], Utc::now() - TimeDelta::hours(3));
    let withdrawn = Due::now("ada", &[Channel::Push]);
    service
        .publish(&[
            question(&late, Unknown::LostInTransit),
            question(&withdrawn, Unknown::Cancelled),
        ])
        .await;

    let lost = service.outcome(&late, EventType::NotificationFailed).await;
    assert_eq!(
        (lost.state, lost.reason.as_deref()),
        (DeliveryState::Failed, Some("LOST_IN_TRANSIT"))
    );
    let cancelled = service.outcome(&withdrawn, EventType::NotificationSuppressed).await;
    assert_eq!(
        (cancelled.reason.as_deref(), cancelled.retold, cancelled.channel),
        (Some("CANCELLED"), true, None)
    );
    assert!(service.pushes("token-1").is_empty());
}

#[tokio::test]
async fn republishes_both_outcomes_of_bounced_email() {
    let service = Service::start().await;
    let due = service.due("ada", &[Channel::Email]).await;
    service.fact(EventType::NotificationSent, due.send.item_id.as_str()).await;
    sqlx::query("update deliveries set state = 'failed', reason = 'BOUNCED'")
        .execute(&service.pool)
        .await
        .expect("bounced");
    service.publish(&[question(&due, Unknown::LostInTransit)]).await;
    eventually(LIMIT, async || service.outcome(&due, EventType::NotificationFailed).await.retold)
        .await;
    eventually(LIMIT, async || service.outcome(&due, EventType::NotificationSent).await.retold)
        .await;
    let failed = service.outcome(&due, EventType::NotificationFailed).await;
    assert_eq!(
        (failed.corrects, failed.reason.as_deref()),
        (Some(DeliveryState::Sent), Some("BOUNCED"))
    );
}

#[tokio::test]
async fn reconciles_others_when_one_command_fails() {
    let service = Service::start().await;
    let fail = "create function fail() returns trigger language plpgsql as $$ begin
            if new.attributes->>'userId' = 'eve' then raise exception 'scripted' using errcode = '57014'; end if;
            return new;
        end $$;
        create trigger fail before insert on outbox for each row execute function fail();";
    sqlx::raw_sql(fail).execute(&service.pool).await.expect("a trigger");
    let late = |user: &str| Due::at(user, &[Channel::Push], Utc::now() - TimeDelta::hours(3));
    let mut dues: Vec<Due> = (0..12).map(|number| late(&format!("user-{number}"))).collect();
    dues.insert(6, late("eve"));

    service
        .publish(&dues.iter().map(|due| question(due, Unknown::LostInTransit)).collect::<Vec<_>>())
        .await;

    for due in dues.iter().filter(|due| due.user != "eve") {
        let lost = service.outcome(due, EventType::NotificationFailed).await;
        assert_eq!(lost.reason.as_deref(), Some("LOST_IN_TRANSIT"));
    }
}
