use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::json;
use shared::contract::{Channel, EventType, NotifyContent, Priority, Schema, new_id};

use super::*;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(1_000_000 + minute)
}

fn envelope(version: i64, occurred_at: DateTime<Utc>) -> Envelope {
    Envelope {
        event_type: EventType::ReminderUpdated,
        event_id: new_id(),
        occurred_at,
        user_id: "user-1".to_owned(),
        user_email: None,
        item_id: "a".parse().expect("an id"),
        version,
        schema: Schema::V2,
        traceparent: None,
        data: json!({}),
    }
}

fn data(date: DateTime<Utc>, offsets: &[i32]) -> ReminderData {
    let content = NotifyContent {
        channels: vec![Channel::Push],
        title: None,
        message: "m".to_owned(),
        url: None,
        data: BTreeMap::new(),
        priority: Priority::Normal,
        locale: None,
        time_zone: "UTC".to_owned(),
        expires_after_minutes: 60,
    };
    ReminderData { date, notify_offsets: offsets.to_vec(), recurrence: None, snooze: None, acknowledged: None, content }
}

/// The times of delivery, and whether each is owed.
fn owed(outcome: Option<&Outcome<'_>>) -> Vec<(DateTime<Utc>, bool)> {
    outcome.map(|it| it.deliveries.iter().map(|(due, delivery)| (*due, delivery.owed)).collect()).unwrap_or_default()
}

const KNOWN: Option<Known> = Some(Known { version: 1, active: true });

#[test]
fn what_is_not_newer_changes_nothing() {
    let event = envelope(1, at(0));
    let change = Change::Update(data(at(100), &[0]));
    assert_eq!(settle(KNOWN, vec![(&event, &change)], at(0)), None);
}

#[test]
fn a_deletion_of_the_known_version_is_newer_once() {
    let event = envelope(1, at(0));
    assert!(settle(KNOWN, vec![(&event, &Change::Delete)], at(0)).is_some());
    let tombstone = Some(Known { version: 1, active: false });
    assert_eq!(settle(tombstone, vec![(&event, &Change::Delete)], at(0)), None);
}

#[test]
fn a_change_owes_what_lay_ahead_when_it_was_made_however_late_it_comes() {
    let event = envelope(2, at(0));
    let change = Change::Update(data(at(30), &[0, 45]));
    let outcome = settle(KNOWN, vec![(&event, &change)], at(500));
    assert_eq!(owed(outcome.as_ref()), [(at(-15), false), (at(30), true)]);
}

#[test]
fn a_new_one_owes_what_is_past_until_it_expires() {
    let event = envelope(1, at(0));
    let change = Change::Create(data(at(-10), &[0, 60]));
    let outcome = settle(None, vec![(&event, &change)], at(0));
    assert_eq!(owed(outcome.as_ref()), [(at(-70), false), (at(-10), true)]);
}

#[test]
fn a_new_one_with_a_delivery_ahead_owes_none_that_was_past_when_it_was_made() {
    let event = envelope(1, at(0));
    let change = Change::Create(data(at(10), &[0, 60]));
    let outcome = settle(None, vec![(&event, &change)], at(0));
    assert_eq!(owed(outcome.as_ref()), [(at(-50), false), (at(10), true)]);
}

#[test]
fn what_an_earlier_version_of_the_batch_owed_stays_owed_and_what_it_dropped_stays_dropped() {
    let (second, third) = (envelope(2, at(0)), envelope(3, at(60)));
    let (moved, renamed) = (Change::Update(data(at(30), &[0])), Change::Update(data(at(30), &[0, 10])));
    let outcome = settle(KNOWN, vec![(&third, &renamed), (&second, &moved)], at(60));
    assert_eq!(owed(outcome.as_ref()), [(at(30), true)], "ten minutes before was past when it was asked for");
}

#[test]
fn after_a_deletion_a_change_begins_anew() {
    let tombstone = Some(Known { version: 1, active: false });
    let event = envelope(2, at(0));
    let change = Change::Update(data(at(-10), &[0]));
    let outcome = settle(tombstone, vec![(&event, &change)], at(0));
    assert_eq!(owed(outcome.as_ref()), [(at(-10), true)]);
}

proptest! {
    #[test]
    fn the_order_in_a_batch_does_not_matter(
        steps in prop::collection::vec((1..6_i64, -100..100_i64, -100..100_i64, any::<bool>()), 1..8),
        keys in prop::collection::vec(any::<u8>(), 8),
    ) {
        let events: Vec<_> = steps
            .iter()
            .map(|(version, made, date, deletes)| {
                let change = if *deletes { Change::Delete } else { Change::Update(data(at(*date), &[0, 10])) };
                (envelope(*version, at(*made)), change)
            })
            .collect();
        let ordered: Vec<_> = events.iter().map(|(event, change)| (event, change)).collect();
        let mut shuffled = ordered.clone();
        let mut keys = keys.iter().cycle();
        shuffled.sort_by_cached_key(|_| *keys.next().unwrap_or(&0));
        prop_assert_eq!(settle(KNOWN, shuffled, at(0)), settle(KNOWN, ordered, at(0)));
    }
}
