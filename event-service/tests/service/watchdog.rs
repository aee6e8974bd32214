//! Occurrences that were released and have no outcome: asked about, and ended by what the ledger
//! tells.

use std::time::Duration;

use serde_json::Value;
use shared::{
    bus::Received,
    contract::{DeliveryState, Envelope, Event, OutcomeData, occurrence_id},
};

use crate::fixture::{World, created, deleted, hours, minutes, now, outcome, received, world};

/// Marks what waits of an item as a scheduler does.
async fn release(world: &World, item: &str) {
    let sql = "with marked as (
            update occurrences set state = 'released', released_at = now()
            from notifications where notifications.id = notification_id and item_id = $1 and pending
            returning occurrences.id
        ) insert into releases (occurrences) select array_agg(id) from marked";
    sqlx::query(sql).bind(item).execute(&world.pool).await.expect("released");
}

/// Types and data of the commands for the notification topic.
async fn questions(world: &World) -> Vec<Value> {
    let sql = "select body::jsonb->'eventData' from commands
        where attributes->>'eventType' = 'notification:reconcile'
        order by body::jsonb->'eventData'->>'dueAt'";
    sqlx::query_scalar(sql).fetch_all(&world.pool).await.expect("commands")
}

/// An outcome, told again at another time.
fn again(told: &Received) -> Received {
    let event = Envelope::decode(told).expect("readable");
    let data = OutcomeData { retold: true, ..event.outcome().expect("an outcome") };
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

async fn state(world: &World, item: &str) -> String {
    world.occurrences(item).await.into_values().next().expect("an occurrence")
}

#[tokio::test]
async fn asks_about_a_release_without_an_outcome() {
    let world = world().await;
    let due = now() - minutes(1);
    world.apply(&[created("a", 1, due, &[0]), created("b", 1, due, &[0])]).await;
    release(&world, "a").await;
    release(&world, "b").await;
    world.apply(&[outcome("b", due, DeliveryState::Sent, None, 1)]).await;

    let early = world.store.watch(Duration::from_secs(3_600)).await.expect("watched");
    assert_eq!((early.asked, early.busy, questions(&world).await.len()), (0, false, 0));
    let watched = world.store.watch(Duration::ZERO).await.expect("watched");
    assert_eq!((watched.asked, watched.settled), (1, 0));
    let questions = questions(&world).await;
    assert_eq!(
        questions[0]["occurrenceId"],
        occurrence_id("reminder", "a", due).simple().to_string()
    );
    assert_eq!(questions[0]["send"]["message"], "Two, with water");

    // No answer: it is asked about again. The answer: it is forgotten.
    assert_eq!(world.store.watch(Duration::from_secs(3_600)).await.expect("watched").asked, 1);
    assert_eq!(
        world.store.watch(Duration::ZERO).await.expect("watched").asked,
        0,
        "not before an hour is over"
    );
    assert_eq!(world.store.unsettled().await.expect("counted").asked_again, 1);
    world.apply(&[again(&outcome("a", due, DeliveryState::Sent, None, 1))]).await;
    assert_eq!(state(&world, "a").await, "sent");
    sqlx::query("update unsettled set look_at = now()")
        .execute(&world.pool)
        .await
        .expect("hurried");
    assert_eq!(world.store.watch(Duration::ZERO).await.expect("watched").settled, 1);
    assert_eq!((world.count("unsettled").await, world.count("releases").await), (0, 0));
}

#[tokio::test]
async fn counts_republished_outcome_once() {
    let world = world().await;
    let due = now() - minutes(1);
    world.apply(&[created("a", 1, due, &[0])]).await;
    release(&world, "a").await;
    let (first, second) = (
        outcome("a", due, DeliveryState::Failed, Some("UNREGISTERED"), 2),
        outcome("a", due, DeliveryState::Sent, None, 2),
    );
    world.apply(std::slice::from_ref(&first)).await;
    world.apply(&[again(&first)]).await;
    assert_eq!(state(&world, "a").await, "released", "one of two");
    world.apply(&[again(&first), again(&second), second]).await;
    assert_eq!(state(&world, "a").await, "sent");
    let counts = "select sent, failed from occurrences";
    let counts: (i32, i32) = sqlx::query_as(counts).fetch_one(&world.pool).await.expect("a row");
    assert_eq!(counts, (1, 1));
}

#[tokio::test]
async fn ends_lost_occurrence_with_reason() {
    let world = world().await;
    let due = now() - minutes(1);
    world.apply(&[created("a", 1, due, &[0]), created("b", 1, due + minutes(1), &[0])]).await;
    release(&world, "a").await;
    release(&world, "b").await;
    sqlx::query("update occurrences set expires_at = now() where due_at = $1")
        .bind(due)
        .execute(&world.pool)
        .await
        .expect("expired");
    world.apply(&[deleted("b", 2)]).await;
    world.store.watch(Duration::ZERO).await.expect("watched");

    let questions = questions(&world).await;
    let said: Vec<_> =
        questions.iter().map(|data| (data["otherwise"].clone(), data["send"].is_null())).collect();
    assert_eq!(said, [("LOST_IN_TRANSIT".into(), true), ("CANCELLED".into(), true)]);
    let mut lost =
        Envelope::decode(&outcome("a", due, DeliveryState::Failed, Some("LOST_IN_TRANSIT"), 0))
            .expect("readable");
    lost.data["retold"] = true.into();
    world.apply(&[received(&lost)]).await;
    assert_eq!(state(&world, "a").await, "failed");
}

#[tokio::test]
async fn postpones_question_about_deferred_delivery() {
    let world = world().await;
    let due = now() - minutes(1);
    world.apply(&[created("a", 1, due, &[0])]).await;
    release(&world, "a").await;
    world.store.watch(Duration::ZERO).await.expect("watched");
    let mut deferred =
        Envelope::decode(&outcome("a", due, DeliveryState::Deferred, Some("QUIET_HOURS"), 1))
            .expect("readable");
    deferred.data["retold"] = true.into();
    deferred.data["until"] = (now() + hours(8)).to_rfc3339().into();
    world.apply(&[received(&deferred)]).await;
    let put_off = "select look_at > now() + interval '8 hours' and asked = 0 from unsettled";
    assert!(sqlx::query_scalar::<_, bool>(put_off).fetch_one(&world.pool).await.expect("a row"));
    assert_eq!(state(&world, "a").await, "released");
}

#[tokio::test]
async fn watches_release_when_outcome_precedes_mark() {
    let world = world().await;
    let due = now() - minutes(1);
    world.apply(&[created("a", 1, due, &[0])]).await;
    world.apply(&[outcome("a", due, DeliveryState::Sent, None, 2)]).await;
    assert_eq!(state(&world, "a").await, "released");
    assert_eq!(world.store.watch(Duration::ZERO).await.expect("watched").asked, 1);
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
        let world = world().await;
        let due = now() - minutes(1);
        world.apply(&[created("a", 1, due, &[0]), created("b", 1, due, &[0])]).await;
        release(&world, "a").await;
        release(&world, "b").await;
        sqlx::query(newer).execute(&world.pool).await.expect("changed");

        let watched = world.store.watch(Duration::ZERO).await.expect("watched");
        assert_eq!((watched.asked, watched.unreadable), (1, 1), "{newer}");
        let after = world.store.watch(Duration::from_secs(3_600)).await.expect("watched");
        assert_eq!((after.asked, after.unreadable), (1, 1), "{newer}: both are looked at again");
        assert_eq!(
            world.store.watch(Duration::ZERO).await.expect("watched").unreadable,
            0,
            "{newer}: it is put off"
        );

        let expire = "update occurrences set expires_at = now()";
        sqlx::query(expire).execute(&world.pool).await.expect("expired");
        let mend = "update notifications set item_id = 'a' where length(item_id) > 1";
        sqlx::query(mend).execute(&world.pool).await.expect("changed");
        sqlx::query("update unsettled set look_at = now()")
            .execute(&world.pool)
            .await
            .expect("hurried");
        let watched = world.store.watch(Duration::ZERO).await.expect("watched");
        assert_eq!(
            (watched.asked, watched.unreadable),
            (2, 0),
            "{newer}: what has expired is asked about"
        );
    }
}

#[tokio::test]
async fn watches_on_one_replica_at_a_time() {
    let world = world().await;
    let mut other = world.pool.begin().await.expect("a transaction");
    let lock = "select pg_advisory_xact_lock(x'7761746368646f67'::bit(64)::bigint)";
    sqlx::query(lock).execute(&mut *other).await.expect("locked");
    assert!(world.store.watch(Duration::ZERO).await.expect("watched").busy);
    drop(other);
}
