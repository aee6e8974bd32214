//! Examples of the OpenAPI description. Their dates are far in the future, so that they stay valid.

use serde_json::{Value, json};

pub(super) fn new_reminder() -> Value {
    json!({
        "date": "2126-05-01T10:00:00+02:00",
        "timeZone": "Europe/Berlin",
        "notifyOffsets": [0, 1440],
        "channels": ["email", "push"],
        "title": "Dentist",
        "message": "Take the X-ray along.",
        "url": "https://example.com/appointments/17",
        "data": {"appointment": "17"}
    })
}

pub(super) fn change() -> Value {
    json!({"date": "2126-05-02T10:00:00", "title": null})
}

pub(super) fn reminder() -> Value {
    json!({
        "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5",
        "createdAt": "2026-04-20T12:00:00.000Z",
        "updatedAt": "2026-04-20T12:00:00.000Z",
        "date": "2126-05-01T08:00:00.000Z",
        "localDate": "2126-05-01T10:00:00",
        "timeZone": "Europe/Berlin",
        "effectiveTimeZone": "Europe/Berlin",
        "isRecurring": false,
        "recurrence": null,
        "notifyOffset": 0,
        "notifyOffsets": [0, 1440],
        "notifyType": "email",
        "channels": ["email", "push"],
        "title": "Dentist",
        "message": "Take the X-ray along.",
        "url": "https://example.com/appointments/17",
        "data": {"appointment": "17"},
        "expiresAfterMinutes": 1440,
        "priority": "normal",
        "locale": null,
        "changedOccurrences": [],
        "status": "scheduled",
        "pausedAt": null,
        "nextAt": "2126-04-30T08:00:00.000Z",
        "acknowledgedAt": null,
        "snoozedUntil": null,
        "lastOutcome": {
            "at": "2026-04-30T08:00:00.000Z",
            "state": "sent",
            "reason": null,
            "finishedAt": "2026-04-30T08:00:00.187Z"
        },
        "version": 1
    })
}

/// A reminder that recurs every Monday morning.
pub(super) fn recurring() -> Value {
    json!({
        "date": "2126-05-06T09:00:00",
        "timeZone": "Europe/Berlin",
        "message": "Tablets",
        "notifyOffsets": [0, 30],
        "recurrence": {
            "rrule": "FREQ=WEEKLY;BYDAY=MO",
            "exdates": ["2126-05-13T09:00:00"],
            "gap": "shift",
            "fold": "first"
        }
    })
}

pub(super) fn occurrences() -> Value {
    let occurrence = |day: &str| {
        let at = format!("{day}T07:00:00.000Z");
        json!({"at": at, "localAt": format!("{day}T09:00:00"), "deliveries": [
            {"notifyOffset": 30, "deliverAt": format!("{day}T06:30:00.000Z")},
            {"notifyOffset": 0, "deliverAt": at}
        ]})
    };
    json!({"occurrences": [occurrence("2126-05-06"), occurrence("2126-05-20")]})
}

pub(super) fn occurrence_change() -> Value {
    json!({"message": "Take the X-ray along, and the letter."})
}

pub(super) fn snooze() -> Value {
    json!({"minutes": 10})
}

pub(super) fn bulk() -> Value {
    let past = json!({"date": "2026-01-01T00:00:00Z", "message": "too late"});
    json!({"reminders": [new_reminder(), recurring(), past]})
}

pub(super) fn bulk_results() -> Value {
    let problem = "at least one delivery (date minus an offset) must be in the future";
    json!({"results": [
        {"status": 201, "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5"},
        {"status": 201, "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a6"},
        {"status": 422, "error": {
            "message": format!("date: {problem}"),
            "reason": "INVALID_DUEDATE",
            "details": [{"field": "date", "message": problem}]
        }}
    ]})
}

pub(super) fn agenda() -> Value {
    json!({
        "occurrences": [{
            "reminderId": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5",
            "at": "2126-05-06T07:00:00.000Z",
            "localAt": "2126-05-06T09:00:00",
            "snoozedFrom": null,
            "title": "Tablets",
            "deliveries": [{"deliverAt": "2126-05-06T07:00:00.000Z", "channel": "push"}]
        }],
        "nextCursor": null
    })
}

pub(super) fn export() -> Value {
    json!({
        "exportedAt": "2026-04-20T12:00:00.000Z",
        "userId": "7f3a",
        "email": "someone@example.com",
        "notificationService": {
            "devices": [],
            "preferences": null,
            "notifications": [],
            "truncated": false
        },
        "eventService": {"notifications": [], "events": [], "truncated": false},
        "reminders": [reminder()],
        "calendarFeeds": [feed()],
        "missing": [],
        "complete": true
    })
}

pub(super) fn feed() -> Value {
    json!({
        "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5",
        "createdAt": "2026-04-20T12:00:00.000Z",
        "rotatedAt": null
    })
}

pub(super) fn new_feed() -> Value {
    let path = "/calendar/q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA.ics";
    let mut feed = feed();
    feed["url"] = format!("https://api.example.com{path}").into();
    feed["path"] = path.into();
    feed
}

pub(super) fn feeds() -> Value {
    json!({"feeds": [feed()]})
}

pub(super) fn calendar() -> Value {
    json!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//Calendar//EN\r\n\
         BEGIN:VEVENT\r\nUID:17@example.com\r\nDTSTAMP:20260420T120000Z\r\n\
         DTSTART;TZID=Europe/Berlin:21260506T090000\r\nRRULE:FREQ=WEEKLY;BYDAY=MO\r\n\
         SUMMARY:Tablets\r\n\
         BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT30M\r\nEND:VALARM\r\n\
         END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

pub(super) fn import() -> Value {
    json!({
        "created": [
            {"line": 4, "uid": "17@example.com", "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5"}
        ],
        "updated": [],
        "unchanged": [],
        "refused": [],
        "notes": [],
        "totals": {"created": 1, "updated": 0, "unchanged": 0, "refused": 0, "notes": 0}
    })
}

pub(super) fn receipt() -> Value {
    json!({"receiptId": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5", "erasedAt": "2026-04-20T12:00:00.000Z"})
}

pub(super) fn list() -> Value {
    json!({"reminders": {
        "items": [reminder()],
        "limit": 10,
        "offset": 0,
        "total": 1,
        "nextCursor": null
    }})
}
