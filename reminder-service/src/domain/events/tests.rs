use std::collections::BTreeMap;

use contract::{Channel, Priority};
use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::domain::{
    caller::Caller,
    reminder::{
        Channels, ExpiresAfter, Link, Locale, Message, NotifyOffsets, Pairs, Schedule, TimeZone,
        Title, due_date,
    },
};

const ID: Uuid = Uuid::from_u128(0x0197_9a3c_7e2f_7c41_b1d1_e0a5_d2c3_f4a5);
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn details() -> Details {
    Details {
        schedule: Schedule::new(
            due_date("2026-05-01T10:00:00+02:00").expect("a time"),
            TimeZone::parse("Europe/Berlin").expect("a zone"),
            NotifyOffsets::from_fields(None, Some(vec![1440, 0])).expect("offsets").expect("given"),
            None,
        )
        .expect("a schedule"),
        channels: Channels::from_fields(None, Some(vec![Channel::Push, Channel::Email]))
            .expect("channels")
            .expect("given"),
        title: Title::parse("Dentist".to_owned()).expect("a title"),
        message: Message::parse("Take the X-ray along.".to_owned()).expect("a message"),
        url: Link::parse("https://example.com/appointments/17".to_owned()).expect("a link"),
        data: Pairs::parse(BTreeMap::from([("appointment".to_owned(), "17".to_owned())]))
            .expect("pairs"),
        expires_after: ExpiresAfter::default(),
        priority: Priority::High,
        locale: Some(Locale::parse("de".to_owned()).expect("a locale")),
    }
}

fn origin() -> Origin {
    let caller = Caller {
        user_id: "u1".to_owned(),
        email: "u1@example.com".to_owned(),
        email_verified: true,
    };
    Origin { caller, traceparent: TRACE.parse().expect("a traceparent") }
}

/// A stored reminder with these details.
fn reminder(details: Details) -> Reminder {
    let [created_at, updated_at, scheduled_at] = [DateTime::UNIX_EPOCH; 3];
    let (handled, late_placements, paused_at) = Default::default();
    Reminder {
        id: ID,
        version: 1,
        created_at,
        updated_at,
        scheduled_at,
        details,
        handled,
        late_placements,
        changed_occurrences: Vec::new(),
        paused_at,
    }
}

/// Message of an event as JSON, with a time, a version, and a placeholder for its random id.
fn written<D: Serialize>(mut event: Event<D>, version: i64) -> Value {
    event.occurred_at = due_date("2026-04-20T12:00:00.123Z").expect("a time");
    event.version = version;
    let mut message = event.to_message().expect("JSON");
    message.attributes.insert("eventId".to_owned(), "{eventId}".to_owned());
    let body: Value = serde_json::from_str(&message.body).expect("JSON");
    json!({"body": body, "attributes": message.attributes})
}

fn golden(text: &str) -> Value {
    serde_json::from_str(text).expect("a golden file")
}

#[test]
fn writes_created_event_with_all_fields() {
    let written = written(created(&origin(), ID, &details()).expect("within bounds"), 1);
    assert_eq!(written, golden(include_str!("../../../tests/golden/reminder-created.json")));
}

#[test]
fn writes_updated_event_with_all_fields() {
    let plain = Details {
        channels: Channels::default(),
        title: None,
        url: None,
        data: Pairs::default(),
        priority: Priority::Normal,
        locale: None,
        ..details()
    };
    let mut reminder = reminder(plain);
    let event = updated(&origin(), &reminder).expect("within bounds");
    let message = written(event, 2);
    assert_eq!(message, golden(include_str!("../../../tests/golden/reminder-updated.json")));
    reminder.paused_at = Some(reminder.created_at);
    let paused = updated(&origin(), &reminder).expect("within bounds");
    assert_eq!(written(paused, 3)["body"]["eventData"]["paused"], json!(true));
}

#[test]
fn writes_deleted_event_without_content() {
    let written = written(deleted(&origin(), ID), 3);
    assert_eq!(written, golden(include_str!("../../../tests/golden/reminder-deleted.json")));
}

#[test]
fn omits_address_of_erased_user_and_unverified_address() {
    let erased = erased(&origin(), ID);
    assert_eq!((erased.user_email, erased.data.receipt_id), (None, ID.into()));
    let mut unverified = origin();
    unverified.caller.email_verified = false;
    assert_eq!(deleted(&unverified, ID).user_email, None);
    assert_eq!(deleted(&origin(), ID).user_email.as_deref(), Some("u1@example.com"));
}
