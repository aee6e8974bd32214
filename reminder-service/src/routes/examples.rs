//! The examples in the API's description. They are dated far ahead, so that they stay ones that can
//! be sent.

use serde_json::{Value, json};

pub(super) fn new_reminder() -> Value {
    json!({
        "date": "2126-05-01T10:00:00+02:00", "timeZone": "Europe/Berlin", "notifyOffsets": [0, 1440],
        "channels": ["email", "push"], "title": "Dentist", "message": "Take the X-ray along.",
        "url": "https://example.com/appointments/17", "data": {"appointment": "17"}
    })
}

pub(super) fn change() -> Value {
    json!({"date": "2126-05-02T10:00:00+02:00", "title": null})
}

pub(super) fn reminder() -> Value {
    json!({
        "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5", "createdAt": "2026-04-20T12:00:00.000Z", "updatedAt": "2026-04-20T12:00:00.000Z",
        "date": "2126-05-01T08:00:00.000Z", "timeZone": "Europe/Berlin", "isRecurring": false, "recurrence": null,
        "notifyOffset": 0, "notifyOffsets": [0, 1440], "notifyType": "email", "channels": ["email", "push"],
        "title": "Dentist", "message": "Take the X-ray along.", "url": "https://example.com/appointments/17",
        "data": {"appointment": "17"}, "expiresAfterMinutes": 1440, "priority": "normal", "locale": null,
        "status": "scheduled", "nextAt": "2126-04-30T08:00:00.000Z", "version": 1
    })
}

/// A reminder for every Monday morning.
pub(super) fn recurring() -> Value {
    json!({
        "date": "2126-05-06T09:00:00+02:00", "timeZone": "Europe/Berlin", "message": "Tablets", "notifyOffsets": [0, 30],
        "recurrence": {"rrule": "FREQ=WEEKLY;BYDAY=MO", "exdates": ["2126-05-13T09:00:00"], "gap": "shift", "fold": "first"}
    })
}

pub(super) fn occurrences() -> Value {
    let delivery = |offset: i32, at: &str| json!({"notifyOffset": offset, "deliverAt": at});
    json!({"occurrences": [
        {"at": "2126-05-06T07:00:00.000Z", "deliveries": [delivery(30, "2126-05-06T06:30:00.000Z"), delivery(0, "2126-05-06T07:00:00.000Z")]},
        {"at": "2126-05-20T07:00:00.000Z", "deliveries": [delivery(30, "2126-05-20T06:30:00.000Z"), delivery(0, "2126-05-20T07:00:00.000Z")]}
    ]})
}

pub(super) fn snooze() -> Value {
    json!({"minutes": 10})
}

pub(super) fn bulk() -> Value {
    json!({"reminders": [new_reminder(), recurring(), {"date": "2026-01-01T00:00:00Z", "message": "too late"}]})
}

pub(super) fn bulk_results() -> Value {
    json!({"results": [
        {"status": 201, "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5"},
        {"status": 201, "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a6"},
        {"status": 422, "error": {"message": "date: no delivery (date minus an offset) lies in the future", "reason": "INVALID_DUEDATE"}}
    ]})
}

pub(super) fn export() -> Value {
    json!({
        "exportedAt": "2026-04-20T12:00:00.000Z", "userId": "7f3a", "email": "someone@example.com", "complete": true, "missing": [],
        "reminders": [reminder()],
        "notificationService": {"devices": [], "preferences": null, "notifications": [], "truncated": false},
        "eventService": {"notifications": [], "events": [], "truncated": false}
    })
}

pub(super) fn calendar() -> Value {
    json!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//Calendar//EN\r\nBEGIN:VEVENT\r\nUID:17@example.com\r\n\
           DTSTAMP:20260420T120000Z\r\nDTSTART;TZID=Europe/Berlin:21260506T090000\r\nRRULE:FREQ=WEEKLY;BYDAY=MO\r\n\
           SUMMARY:Tablets\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT30M\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

pub(super) fn import() -> Value {
    json!({
        "imported": [{"line": 4, "uid": "17@example.com", "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5"}],
        "refused": [], "notes": []
    })
}

pub(super) fn receipt() -> Value {
    json!({"receiptId": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5", "erasedAt": "2026-04-20T12:00:00.000Z"})
}

pub(super) fn list() -> Value {
    json!({"reminders": {"items": [reminder()], "limit": 10, "offset": 0, "total": 1, "nextCursor": null}})
}
