//! Occurrences that were released and have no outcome: asked about, and ended by what the ledger
//! tells.

use std::time::Duration;

use bus::Received;
use contract::{DeliveryState, Envelope, Event, OutcomeData, occurrence_id};
use event_service::{store::unsettled, usecases::reconcile_occurrences::reconcile_occurrences};
use serde_json::Value;

use crate::fixture::{
    TestService, created, deleted, hours, minutes, now, outcome, received, test_service,
};

/// Marks what waits of an item as a scheduler does.
async fn release(service: &TestService, item: &str) {
    let sql = "with marked as (
            update occurrences set state = 'released', released_at = now()
            from notifications where notifications.id = notification_id and item_id = $1 and pending
            returning occurrences.id
        ) insert into releases (occurrences) select array_agg(id) from marked";
    sqlx::query(sql).bind(item).execute(&service.pool).await.expect("released");
}

/// Types and data of the commands for the notification topic.
async fn questions(service: &TestService) -> Vec<Value> {
    let sql = "select body::jsonb->'eventData' from commands
        where attributes->>'eventType' = 'notification:reconcile'
        order by body::jsonb->'eventData'->>'dueAt'";
    sqlx::query_scalar(sql).fetch_all(&service.pool).await.expect("commands")
}

/// An outcome, told again at another time.
fn again(published: &Received) -> Received {
    let event = Envelope::decode(published).expect("readable");
    let data = OutcomeData { republished: true, ..event.outcome().expect("an outcome") };
    received(&Event {
        event_type: event.event_type,
        event_id: event.event_id,
        occurred_at: event.occurred_at + minutes(90),
        user_id: event.user_id,
        user_email: event.user_email,
        item_id: event.item_id,
        version: event.version,
        schema: event.schema,
        traceparent: event.traceparent,
        data,
    })
}

async fn state(service: &TestService, item: &str) -> String {
    service.occurrences(item).await.into_values().next().expect("an occurrence")
}

#[tokio::test]
async fn asks_about_a_release_without_an_outcome() {
    let service = test_service().await;
    let due = now() - minutes(1);
    service.apply(&[created("a", 1, due, &[0]), created("b", 1, due, &[0])]).await;
    release(&service, "a").await;
    release(&service, "b").await;
    service.apply(&[outcome("b", due, DeliveryState::Sent, None, 1)]).await;

    let early =
        reconcile_occurrences(&service.pool, Duration::from_secs(3_600)).await.expect("watched");
    assert_eq!((early.asked, early.busy, questions(&service).await.len()), (0, false, 0));
    let watched = reconcile_occurrences(&service.pool, Duration::ZERO).await.expect("watched");
    assert_eq!((watched.asked, watched.settled), (1, 0));
    let questions = questions(&service).await;
    assert_eq!(
        questions[0]["occurrenceId"],
        occurrence_id("reminder", "a", due).simple().to_string()
    );
    assert_eq!(questions[0]["send"]["message"], "Two, with water");

    // No answer: it is asked about again. The answer: it is forgotten.
    assert_eq!(
        reconcile_occurrences(&service.pool, Duration::from_secs(3_600))
            .await
            .expect("watched")
            .asked,
        1
    );
    assert_eq!(
        reconcile_occurrences(&service.pool, Duration::ZERO).await.expect("watched").asked,
        0,
        "not before an hour is over"
    );
    assert_eq!(unsettled::counts(&service.pool).await.expect("counted").asked_again, 1);
    service.apply(&[again(&outcome("a", due, DeliveryState::Sent, None, 1))]).await;
    assert_eq!(state(&service, "a").await, "sent");
    sqlx::query("update unsettled set look_at = now()")
        .execute(&service.pool)
        .await
        .expect("hurried");
    assert_eq!(
        reconcile_occurrences(&service.pool, Duration::ZERO).await.expect("watched").settled,
        1
    );
    assert_eq!((service.count("unsettled").await, service.count("releases").await), (0, 0));
}

#[tokio::test]
async fn counts_republished_outcome_once() {
    let service = test_service().await;
    let due = now() - minutes(1);
    service.apply(&[created("a", 1, due, &[0])]).await;
    release(&service, "a").await;
    let (first, second) = (
        outcome("a", due, DeliveryState::Failed, Some("UNREGISTERED"), 2),
        outcome("a", due, DeliveryState::Sent, None, 2),
    );
    service.apply(std::slice::from_ref(&first)).await;
    service.apply(&[again(&first)]).await;
    assert_eq!(state(&service, "a").await, "released", "one of two");
    service.apply(&[again(&first), again(&second), second]).await;
    assert_eq!(state(&service, "a").await, "sent");
    let counts = "select sent, failed from occurrences";
    let counts: (i32, i32) = sqlx::query_as(counts).fetch_one(&service.pool).await.expect("a row");
    assert_eq!(counts, (1, 1));
}

#[tokio::test]
async fn ends_lost_occurrence_with_reason() {
    let service = test_service().await;
    let due = now() - minutes(1);
    service.apply(&[created("a", 1, due, &[0]), created("b", 1, due + minutes(1), &[0])]).await;
    release(&service, "a").await;
    release(&service, "b").await;
    sqlx::query("update occurrences set expires_at = now() where due_at = $1")
        .bind(due)
        .execute(&service.pool)
        .await
        .expect("expired");
    service.apply(&[deleted("b", 2)]).await;
    reconcile_occurrences(&service.pool, Duration::ZERO).await.expect("watched");

    let questions = questions(&service).await;
    let said: Vec<_> =
        questions.iter().map(|data| (data["otherwise"].clone(), data["send"].is_null())).collect();
    assert_eq!(said, [("LOST_IN_TRANSIT".into(), true), ("CANCELLED".into(), true)]);
    let mut lost =
        Envelope::decode(&outcome("a", due, DeliveryState::Failed, Some("LOST_IN_TRANSIT"), 0))
            .expect("readable");
    lost.data["republished"] = true.into();
    service.apply(&[received(&lost)]).await;
    assert_eq!(state(&service, "a").await, "failed");
}

#[tokio::test]
async fn postpones_question_about_deferred_delivery() {
    let service = test_service().await;
    let due = now() - minutes(1);
    service.apply(&[created("a", 1, due, &[0])]).await;
    release(&service, "a").await;
    reconcile_occurrences(&service.pool, Duration::ZERO).await.expect("watched");
    let mut deferred =
        Envelope::decode(&outcome("a", due, DeliveryState::Deferred, Some("QUIET_HOURS"), 1))
            .expect("readable");
    deferred.data["republished"] = true.into();
    deferred.data["until"] = (now() + hours(8)).to_rfc3339().into();
    service.apply(&[received(&deferred)]).await;
    let put_off = "select look_at > now() + interval '8 hours' and asked = 0 from unsettled";
    assert!(sqlx::query_scalar::<_, bool>(put_off).fetch_one(&service.pool).await.expect("a row"));
    assert_eq!(state(&service, "a").await, "released");
}

#[tokio::test]
async fn watches_release_when_outcome_precedes_mark() {
    let service = test_service().await;
    let due = now() - minutes(1);
    service.apply(&[created("a", 1, due, &[0])]).await;
    service.apply(&[outcome("a", due, DeliveryState::Sent, None, 2)]).await;
    assert_eq!(state(&service, "a").await, "released");
    assert_eq!(
        reconcile_occurrences(&service.pool, Duration::ZERO).await.expect("watched").asked,
        1
    );
}

#[tokio::test]
async fn asks_about_readable_rows_beside_unreadable() {
    let newer = [
        "update notifications set content = jsonb_set(content, '{channels}', '[\"sms\"]')
            where item_id = 'a'",
        "update notifications set content = '[]' where item_id = 'a'",
        "update notifications set item_id = repeat('a', 65) where item_id = 'a'",
    ];
    for newer in newer {
        let service = test_service().await;
        let due = now() - minutes(1);
        service.apply(&[created("a", 1, due, &[0]), created("b", 1, due, &[0])]).await;
        release(&service, "a").await;
        release(&service, "b").await;
        sqlx::query(newer).execute(&service.pool).await.expect("changed");

        let watched = reconcile_occurrences(&service.pool, Duration::ZERO).await.expect("watched");
        assert_eq!((watched.asked, watched.unreadable), (1, 1), "{newer}");
        let after = reconcile_occurrences(&service.pool, Duration::from_secs(3_600))
            .await
            .expect("watched");
        assert_eq!((after.asked, after.unreadable), (1, 1), "{newer}: both are looked at again");
        assert_eq!(
            reconcile_occurrences(&service.pool, Duration::ZERO).await.expect("watched").unreadable,
            0,
            "{newer}: it is put off"
        );

        let expire = "update occurrences set expires_at = now()";
        sqlx::query(expire).execute(&service.pool).await.expect("expired");
        let mend = "update notifications set item_id = 'a' where length(item_id) > 1";
        sqlx::query(mend).execute(&service.pool).await.expect("changed");
        sqlx::query("update unsettled set look_at = now()")
            .execute(&service.pool)
            .await
            .expect("hurried");
        let watched = reconcile_occurrences(&service.pool, Duration::ZERO).await.expect("watched");
        assert_eq!(
            (watched.asked, watched.unreadable),
            (2, 0),
            "{newer}: what has expired is asked about"
        );
    }
}

#[tokio::test]
async fn watches_on_one_replica_at_a_time() {
    let service = test_service().await;
    let mut other = service.pool.begin().await.expect("a transaction");
    let lock = "select pg_advisory_xact_lock(x'7761746368646f67'::bit(64)::bigint)";
    sqlx::query(lock).execute(&mut *other).await.expect("locked");
    assert!(reconcile_occurrences(&service.pool, Duration::ZERO).await.expect("watched").busy);
    drop(other);
}
