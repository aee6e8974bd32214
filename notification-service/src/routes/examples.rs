//! Examples in the description of the API.

use serde_json::{Value, json};

pub(super) fn device() -> Value {
    json!({
        "id": "01979a1f44d27b60b8a2c3d4e5f60718",
        "type": "android",
        "name": "My phone",
        "createdAt": "2026-01-10T08:00:00.000Z",
        "lastSeenAt": "2026-04-12T08:00:00.000Z"
    })
}

pub(super) fn devices() -> Value {
    json!({"devices": [device()]})
}

pub(super) fn delivery() -> Value {
    json!({
        "id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5",
        "occurrenceId": "5f0c6c1e0b0a5c3d9d1e2f3a4b5c6d7e",
        "source": "reminder",
        "itemId": "01979a2b11c07d3fa0c4b7d8e9f0a1b2",
        "date": "2026-05-01T08:00:00.000Z",
        "title": "Dentist",
        "message": "Take the X-ray along.",
        "url": "https://example.com/appointments/17",
        "data": {"appointment": "17"},
        "readAt": null,
        "channel": "push",
        "deviceId": "01979a1f44d27b60b8a2c3d4e5f60718",
        "state": "sent",
        "reason": null,
        "attempts": 1,
        "dueAt": "2026-04-30T08:00:00.000Z",
        "firstAttemptAt": "2026-04-30T08:00:00.041Z",
        "nextAttemptAt": null,
        "finishedAt": "2026-04-30T08:00:00.187Z"
    })
}

pub(super) fn deliveries() -> Value {
    json!({"notifications": [delivery()], "nextCursor": null})
}

pub(super) fn outcomes() -> Value {
    json!({"outcomes": [{
        "occurrenceId": "5f0c6c1e0b0a5c3d9d1e2f3a4b5c6d7e",
        "state": "sent",
        "reason": null,
        "finishedAt": "2026-04-30T08:00:00.187Z"
    }]})
}

pub(super) fn unread() -> Value {
    json!({"unread": 3})
}

pub(super) fn read_all() -> Value {
    json!({"upTo": "2026-04-30T08:00:00.187Z"})
}

/// First event of a stream, and the event of a delivery that reached a state.
pub(super) const STREAM: &str = concat!(
    "event: unread\n",
    "id: 7341-00000000000000000000000000000000-01979a37ea4f00000000000000000000\n",
    "data: {\"unread\":2}\n\n",
    "event: delivery\n",
    "id: 7358-01979a3c7e2f7c41b1d1e0a5d2c3f4a5-01979a37ea4f00000000000000000000\n",
    "data: {\"id\":\"01979a3c7e2f7c41b1d1e0a5d2c3f4a5\",\"state\":\"sent\",…}\n\n",
);
