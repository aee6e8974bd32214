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
