use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::domain::reminder::{
    Channels, ExpiresAfter, Link, Locale, Message, NotifyOffsets, Pairs, Schedule, TimeZone, Title,
    due_date,
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

/// A message as JSON, with a placeholder for its random event id.
fn written<E: std::fmt::Debug>(
    make: impl FnOnce(Origin<'_>) -> Result<Unstamped, E>,
    version: i64,
) -> Value {
    let identity = Identity {
        user_id: "u1".to_owned(),
        email: "u1@example.com".to_owned(),
        email_verified: true,
    };
    let origin = Origin { identity: &identity, traceparent: TRACE.parse().expect("a traceparent") };
    let at = due_date("2026-04-20T12:00:00.123Z").expect("a time");
    let mut message = make(origin).expect("JSON").stamped(at, version).message;
    message.attributes.insert("eventId".to_owned(), "{eventId}".to_owned());
    let body: Value = serde_json::from_str(&message.body).expect("JSON");
    json!({"body": body, "attributes": message.attributes})
}

fn golden(text: &str) -> Value {
    serde_json::from_str(text).expect("a golden file")
}

#[test]
fn writes_created_event_with_all_fields() {
    let written = written(|origin| created(origin, ID, &details()), 1);
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
    let written = written(|origin| updated(origin, ID, &plain, Handled::default()), 2);
    assert_eq!(written, golden(include_str!("../../../tests/golden/reminder-updated.json")));
}

#[test]
fn writes_deleted_event_without_content() {
    let written = written(|origin| deleted(origin, ID), 3);
    assert_eq!(written, golden(include_str!("../../../tests/golden/reminder-deleted.json")));
}

#[test]
fn refuses_events_that_the_bus_refuses() {
    let odd = Identity {
        user_id: "u\u{ffff}".to_owned(),
        email: "u1@example.com".to_owned(),
        email_verified: true,
    };
    let long =
        Identity { user_id: "u1".to_owned(), email: "e".repeat(300_000), email_verified: true };
    for (identity, status) in [(&odd, 400), (&long, 413)] {
        let origin = Origin { identity, traceparent: TRACE.parse().expect("a traceparent") };
        let created = created(origin, ID, &details()).expect_err("refused");
        assert_eq!(ApiError::from(created).reason.parts().0.as_u16(), status);
        let updated = updated(origin, ID, &details(), Handled::default()).expect_err("refused");
        assert_eq!(ApiError::from(updated).reason.parts().0.as_u16(), status);
    }
    let origin = Origin { identity: &odd, traceparent: TRACE.parse().expect("a traceparent") };
    for refused in [deleted(origin, ID), erased(origin, ID)] {
        assert_eq!(ApiError::from(refused.expect_err("refused")).reason.parts().0.as_u16(), 400);
    }
}
