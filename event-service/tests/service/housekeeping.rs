//! The catalogue's partitions.

use chrono::{DateTime, Utc};
use serde_json::json;
use shared::contract::EventType;

use crate::fixture::{World, event, hours, now, received, world};

async fn partition_of_all(world: &World) -> Vec<String> {
    sqlx::query_scalar("select tableoid::regclass::text from events order by occurred_at")
        .fetch_all(&world.pool)
        .await
        .expect("names")
}

fn at(time: DateTime<Utc>) -> shared::bus::Received {
    received(&event(EventType::DeviceRegistered, "d", 1, time, json!({})))
}

#[tokio::test]
async fn partitions_are_made_ahead_once() {
    let world = world().await;
    assert_eq!(world.store.create_partitions().await.expect("made"), 6);
    assert_eq!(world.store.create_partitions().await.expect("there"), 0);
}

#[tokio::test]
async fn what_the_default_partition_took_moves_into_its_week() {
    let world = world().await;
    world.apply(&[at(now() - hours(24 * 400)), at(now()), at(now() + hours(24 * 20))]).await;
    assert_eq!(partition_of_all(&world).await, ["events_default"; 3]);
    world.store.create_partitions().await.expect("made");
    let partitions = partition_of_all(&world).await;
    assert_eq!(partitions[0], "events_default");
    assert!(partitions[1..].iter().all(|name| name != "events_default"), "{partitions:?}");
}

#[tokio::test]
async fn a_repeat_is_known_across_the_making_of_its_partition() {
    let world = world().await;
    let message = at(now());
    world.apply(std::slice::from_ref(&message)).await;
    world.store.create_partitions().await.expect("made");
    world.apply(&[message]).await;
    assert_eq!(world.count("events").await, 1);
}

#[tokio::test]
async fn what_is_older_than_is_kept_is_let_go_and_what_waits_is_not() {
    let world = world().await;
    let old = now() - hours(24 * 40);
    sqlx::query("select create_events_partition($1)").bind(old).execute(&world.pool).await.expect("made");
    world.store.create_partitions().await.expect("made");
    world.apply(&[at(old), at(old - hours(24 * 400)), at(now())]).await;
    let make = "with made as (
            insert into notifications (id, source, item_id, user_id, version, state, date, notify_offsets, content, occurred_at, updated_at)
            select gen_random_uuid(), 'reminder', item, 'user-1', 1, 'active', $1, '{0}', '{}', $1, $1 from unnest(array['ended', 'waiting']) as item
            returning id, item_id
        )
        insert into occurrences (id, notification_id, due_at, date, expires_at, state)
        select gen_random_uuid(), id, $1, $1, $1, case item_id when 'ended' then 'sent' else 'pending' end::occurrence_state from made";
    sqlx::query(make).bind(old).execute(&world.pool).await.expect("made");

    let gone = world.store.let_go(now() - hours(24 * 30)).await.expect("let go");

    assert_eq!((gone.partitions, gone.stray_events, gone.occurrences, gone.notifications), (1, 1, 1, 1));
    assert_eq!((world.count("events").await, world.count("occurrences").await), (1, 1));
    assert!(world.notification("waiting").await.is_some());
    assert_eq!(world.store.let_go(now() - hours(24 * 30)).await.expect("again"), Default::default());
}
