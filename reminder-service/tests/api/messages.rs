//! Events of changes, from the outbox through the relay to the event topic.

use std::time::Duration;

use bus::{Settlement, SharedBus};
use contract::{Channel, Envelope, EventType};
use serde_json::json;
use support::wait_until;

use crate::service::{LISTENER, Service, bus, least_with, wire};

const LIMIT: Duration = Duration::from_secs(20);

/// Receives events, in the order of their versions.
pub(crate) async fn receive(bus: &SharedBus, count: usize) -> Vec<Envelope> {
    let mut events = Vec::new();
    while events.len() < count {
        let received =
            bus.receive(LISTENER, 10, Duration::from_secs(30), LIMIT).await.expect("messages");
        assert!(!received.is_empty(), "only {} messages came", events.len());
        events.extend(received.iter().map(|message| Envelope::decode(message).expect("an event")));
        let done = received.into_iter().map(|message| (message, Settlement::Done));
        bus.settle(LISTENER, done.collect()).await.expect("settled");
    }
    events.sort_by_key(|event| event.version);
    events
}

#[tokio::test]
async fn publishes_each_change_once_with_its_trace() {
    let service = Service::start().await;
    let bus = bus(service.database.url()).await.expect("a bus");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let ada = service.ada.with_header("traceparent", trace);

    let body = least_with(
        json!({"channels": ["push", "email"], "notifyOffsets": [10, 0], "title": "Tablets"}),
    );
    let id = ada.post("/reminders", &body).await.expect(201).id();
    let path = format!("/reminders/{id}");
    let changed = ada.patch(&path, &json!({"message": "Three"})).await.expect(200).body;
    ada.delete(&path).await.expect(200);

    let events = receive(&bus, 3).await;
    let types: Vec<_> = events.iter().map(|event| (event.event_type, event.version)).collect();
    assert_eq!(
        types,
        [
            (EventType::ReminderCreated, 1),
            (EventType::ReminderUpdated, 2),
            (EventType::ReminderDeleted, 3)
        ]
    );
    for event in &events {
        assert_eq!(
            (event.user_id.as_str(), event.user_email.as_deref()),
            ("ada", Some("ada@example.com"))
        );
        assert_eq!(
            (event.item_id.as_str(), event.traceparent.map(|trace| trace.to_string())),
            (id.as_str(), Some(trace.to_owned()))
        );
    }
    let (created, updated) =
        (events[0].reminder().expect("a reminder"), events[1].reminder().expect("a reminder"));
    assert_eq!(
        (created.notify_offsets, created.content.channels),
        (vec![0, 10], vec![Channel::Email, Channel::Push])
    );
    assert_eq!(
        (updated.content.message.as_str(), updated.content.title.as_deref()),
        ("Three", Some("Tablets"))
    );
    assert_eq!(
        wire(events[1].occurred_at),
        changed["updatedAt"],
        "the database's time of the change"
    );
    assert_eq!(events[2].data, json!({}));
}

#[tokio::test]
async fn empties_outbox_after_publishing() {
    let service = Service::start().await;
    for _ in 0..50 {
        service.make(&least_with(json!({}))).await;
    }
    wait_until(LIMIT, async || service.count("outbox").await == 0).await;
}

#[tokio::test]
async fn publishes_outbox_of_crashed_process() {
    let service = Service::start().await;
    let bus = bus(service.database.url()).await.expect("a bus");
    let database = service.stop().await;
    let left = "insert into outbox (event_id, body, attributes, lease_until)
        values ('01979a3c-7e2f-7c41-b1d1-e0a5d2c3f4a5',
            '{\"itemId\":\"i1\",\"userId\":\"u1\",\"eventData\":{}}',
            '{\"eventType\":\"reminder:deleted\",\"schema\":\"2\",\"version\":\"7\",
              \"userId\":\"u1\"}',
            now() - interval '1 second')";
    sqlx::query(left).execute(&database.pool().await).await.expect("a row is left");

    let service = Service::start_on(database, &[]).await;
    service.ready().await;

    assert_eq!(receive(&bus, 1).await[0].version, 7);
    wait_until(LIMIT, async || service.count("outbox").await == 0).await;
}
