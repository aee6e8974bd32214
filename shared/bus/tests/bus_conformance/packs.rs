//! Packs: several events in one message.

use std::{collections::BTreeSet, time::Duration};

use bus::{MAX_PACK_EVENTS, Message, Packing, Received, Rejection, Settlement, SharedBus};
use contract::{Envelope, Event, EventType, Reason, Schema};

use super::test_bus::{LIMIT, LONG, TestBus, message};

/// Events of two types, each with its number as item.
fn events(numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers.map(event).collect()
}

fn event(number: usize) -> Message {
    let types = [EventType::ReminderCreated, EventType::ReminderUpdated];
    let event = Event {
        event_type: types[number % types.len()],
        event_id: contract::new_id(),
        occurred_at: chrono::Utc::now(),
        user_id: "zoë".to_owned(),
        user_email: Some("zoe@example.com".to_owned()),
        item_id: number.to_string().parse().unwrap(),
        version: 1,
        schema: Schema::V2,
        traceparent: None,
        data: serde_json::json!({"message": "a \u{1f600}"}),
    };
    event.to_message().unwrap()
}

/// Numbers of received events, each of which can be read.
fn items(received: &[Received]) -> Vec<usize> {
    let item = |message| Envelope::decode(message).unwrap().item_id.as_str().parse().unwrap();
    let mut items: Vec<usize> = received.iter().map(item).collect();
    items.sort_unstable();
    items
}

/// Receives a number of events from `everything`.
async fn receive(bus: &TestBus, number: usize) -> Vec<Received> {
    let mut all = Vec::new();
    while all.len() < number {
        let received = bus.adapter.receive(&bus.everything, 100, LONG, LIMIT).await.unwrap();
        assert!(!received.is_empty(), "only {} of {number} events were received", all.len());
        all.extend(received);
    }
    assert_eq!(all.len(), number);
    all
}

/// Number of messages in `everything`.
async fn depth(bus: &TestBus) -> u64 {
    let depth = bus.adapter.depth(&bus.everything).await.unwrap();
    depth.visible + depth.in_flight + depth.delayed
}

async fn unpacked(bus: &TestBus) -> SharedBus {
    bus::connect(&bus.settings, &"topic=off".parse::<Packing>().unwrap()).await.unwrap()
}

pub(super) async fn delivers_events_of_packs(bus: &TestBus) {
    let published = events(0..250);
    bus.publish(&published).await;
    // Two event types, of 125 events each.
    let least = 2 * 125_usize.div_ceil(MAX_PACK_EVENTS) as u64;
    let packs = depth(bus).await;
    assert!((least..30).contains(&packs), "{packs} messages");

    let received = receive(bus, 250).await;

    assert_eq!(items(&received), (0..250).collect::<Vec<_>>());
    let ids: BTreeSet<_> = received.iter().map(|message| &message.message_id).collect();
    assert_eq!(ids.len(), 250);
    let attributes = |attributes: &std::collections::BTreeMap<_, _>| format!("{attributes:?}");
    let sent: BTreeSet<_> = published.iter().map(|event| attributes(&event.attributes)).collect();
    assert!(received.iter().all(|event| sent.contains(&attributes(&event.attributes))));
    let (first, second) = received.split_at(100);
    bus.adapter.extend(&bus.everything, &[first[0].receipt.clone()], LONG).await.unwrap();
    for part in [first, second] {
        let done = part.iter().map(|event| (event.clone(), Settlement::Done)).collect();
        bus.adapter.settle(&bus.everything, done).await.unwrap();
    }
    assert_eq!(depth(bus).await, 0);
}

pub(super) async fn publishes_one_event_as_it_is(bus: &TestBus) {
    let (plain, other) = (event(0), message(7, &[("kind", "a")]));
    bus.publish(std::slice::from_ref(&plain)).await;
    bus.publish(&[event(2), other, event(3)]).await;
    assert_eq!(depth(bus).await, 4, "events of different types are not packed together");

    let adapter = unpacked(bus).await;
    let results = adapter.publish(&bus.topic, &events(0..10)).await.unwrap();
    assert_eq!(results, vec![Ok(()); 10]);
    assert_eq!(depth(bus).await, 14);
    receive(bus, 14).await;
}

pub(super) async fn settles_events_of_pack_apart(bus: &TestBus) {
    bus.publish(&[event(0), event(2), event(4)]).await;
    let mut received = receive(bus, 3).await;
    assert_eq!(depth(bus).await, 1);
    received.sort_by_key(|message| message.body.clone());
    let settlements = [
        Settlement::Done,
        Settlement::RetryAfter(Duration::from_secs(1)),
        Settlement::Reject(Rejection::new(Reason::Invalid, "why")),
    ];
    let settlements = received.into_iter().zip(settlements).collect();
    bus.adapter.settle(&bus.everything, settlements).await.unwrap();

    let again = receive(bus, 2).await;
    assert_eq!(items(&again), [2, 4]);
    assert!(again.iter().all(|message| message.receive_count == 1));
    for message in again {
        let settlement = match items(std::slice::from_ref(&message))[..] {
            [4] => Settlement::Reject(Rejection::new(Reason::Invalid, "why")),
            _ => Settlement::Done,
        };
        bus.settle(message, settlement).await;
    }
    assert_eq!(depth(bus).await, 0);
    let dead = bus.adapter.dead_letters(&bus.everything, 10).await.unwrap();
    assert_eq!(items(&dead), [4]);
    assert_eq!(dead[0].attributes[bus::REASON_ATTRIBUTE], "INVALID");
}

pub(super) async fn redelivers_pack_of_which_nothing_was_done(bus: &TestBus) {
    bus.publish(&[event(0), event(2)]).await;
    let first = receive(bus, 2).await;
    let retry = Settlement::RetryAfter(Duration::ZERO);
    let settlements = first.into_iter().map(|message| (message, retry.clone())).collect();
    bus.adapter.settle(&bus.everything, settlements).await.unwrap();

    let second = receive(bus, 2).await;
    assert_eq!(items(&second), [0, 2]);
    assert!(second.iter().all(|message| message.receive_count == 2));
    assert_eq!(depth(bus).await, 1);
}

pub(super) async fn splits_pack_that_is_received_repeatedly(bus: &TestBus) {
    bus.publish(&[event(0), event(2)]).await;
    for count in [1, 2] {
        let received =
            bus.adapter.receive(&bus.everything, 10, Duration::from_secs(1), LIMIT).await.unwrap();
        assert_eq!(items(&received), [0, 2]);
        assert!(received.iter().all(|message| message.receive_count == count));
    }

    let mut singles = Vec::new();
    while singles.len() < 2 {
        singles.extend(bus.adapter.receive(&bus.everything, 10, LONG, LIMIT).await.unwrap());
    }
    assert_eq!(items(&singles), [0, 2]);
    assert!(singles.iter().all(|message| message.receive_count == 1));
    assert_eq!(depth(bus).await, 2);
}

pub(super) async fn rejects_malformed_event_of_pack_alone(bus: &TestBus) {
    let good = event(0);
    let pack = contract::pack::pack(&[&contract::pack::Packable::of(&good).unwrap()]);
    let body = pack.body.replacen('[', r#"[{"eventId":7},"#, 1);
    bus.publish(&[Message { body, ..pack }]).await;

    let received = receive(bus, 2).await;
    let readable = |message: &Received| Envelope::decode(message).is_ok();
    assert_eq!(received.iter().filter(|message| readable(message)).count(), 1);
}
