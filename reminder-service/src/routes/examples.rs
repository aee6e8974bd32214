//! The examples in the API's description. They are dated far ahead, so that they stay ones that can be sent.

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

pub(super) fn list() -> Value {
    json!({"reminders": {"items": [reminder()], "limit": 10, "offset": 0, "total": 1, "nextCursor": null}})
}
