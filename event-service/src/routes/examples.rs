//! The examples in the API's description: the life of one reminder.

use serde_json::{Value, json};

const REMINDER: &str = "01979a2b11c07d3fa0c4b7d8e9f0a1b2";
const OCCURRENCE: &str = "5f0c6c1e0b0a5c3d9d1e2f3a4b5c6d7e";

pub(super) fn event() -> Value {
    json!({
        "eventId": "01979a2b-11c0-7d3f-a0c4-b7d8e9f0a1b3", "type": "reminder:created",
        "itemId": REMINDER, "userId": "7f3a", "version": 1,
        "occurredAt": "2026-04-20T12:00:00.000Z", "receivedAt": "2026-04-20T12:00:00.011724Z",
        "data": {
            "date": "2026-05-01T08:00:00Z", "timeZone": "Europe/Berlin", "notifyOffsets": [1440],
            "channels": ["push"],
            "title": "Dentist", "message": "Take the X-ray along.", "priority": "normal",
            "expiresAfterMinutes": 1440
        }
    })
}

pub(super) fn events() -> Value {
    json!({"events": [event()], "nextCursor": null})
}

/// An event as the stream shows it.
pub(super) const STREAM: &str = concat!(
    "event: reminder:created\n",
    "id: 7341-01979a2b11c07d3fa0c4b7d8e9f0a1b3\n",
    "data: {\"eventId\":\"01979a2b-11c0-7d3f-a0c4-b7d8e9f0a1b3\",",
    "\"type\":\"reminder:created\",…}\n\n",
);

pub(super) fn occurrence() -> Value {
    json!({
        "id": OCCURRENCE, "dueAt": "2026-04-30T08:00:00Z", "date": "2026-05-01T08:00:00Z",
        "expiresAt": "2026-05-01T08:00:00Z",
        "state": "sent", "releasedAt": "2026-04-30T08:00:00.004112Z", "sent": 1, "failed": 0,
        "suppressed": 0, "deliveries": 1,
        "outcomeAt": "2026-04-30T08:00:00.187Z", "reason": null
    })
}

pub(super) fn notification() -> Value {
    json!({
        "id": REMINDER, "source": "reminder", "itemId": REMINDER, "userId": "7f3a", "version": 1,
        "state": "active",
        "date": "2026-05-01T08:00:00Z", "notifyOffsets": [1440], "recurrence": null,
        "content": {
            "channels": ["push"], "title": "Dentist", "message": "Take the X-ray along.",
            "timeZone": "Europe/Berlin",
            "priority": "normal", "expiresAfterMinutes": 1440
        },
        "updatedAt": "2026-04-20T12:00:00.011724Z", "occurrences": [occurrence()]
    })
}

pub(super) fn notifications() -> Value {
    json!({"notifications": [notification()], "nextCursor": null})
}

pub(super) fn timeline() -> Value {
    let sent = json!({
        "eventId": "f188cb34-66cb-5bcb-bee2-f818201dd39f", "type": "notification:sent",
        "itemId": REMINDER, "userId": "7f3a", "version": 1,
        "occurredAt": "2026-04-30T08:00:00.187Z", "receivedAt": "2026-04-30T08:00:00.205331Z",
        "data": {
            "source": "reminder", "occurrenceId": OCCURRENCE, "channel": "push",
            "deviceId": "01979a1f44d27b60b8a2c3d4e5f60718",
            "state": "sent", "attempts": 1, "deliveries": 1, "dueAt": "2026-04-30T08:00:00Z",
            "at": "2026-04-30T08:00:00.187Z"
        }
    });
    json!({
        "reminderId": REMINDER, "notifications": [notification()],
        "timeline": [
            {"kind": "event", "at": "2026-04-20T12:00:00.000Z", "event": event()},
            {"kind": "occurrence", "at": "2026-04-30T08:00:00Z", "occurrence": occurrence()},
            {"kind": "event", "at": "2026-04-30T08:00:00.187Z", "event": sent}
        ],
        "truncated": false
    })
}

pub(super) fn export() -> Value {
    json!({
        "notifications": [{
            "source": "reminder", "itemId": REMINDER, "userEmail": "someone@example.com",
            "version": 1, "state": "active",
            "date": "2026-05-01T08:00:00+00:00", "notifyOffsets": [1440], "recurrence": null,
            "acknowledged": null,
            "content": {"channels": ["push"], "title": "Dentist",
            "message": "Take the X-ray along."},
            "occurrences": [{
                "dueAt": "2026-04-30T08:00:00+00:00", "date": "2026-05-01T08:00:00+00:00",
                "expiresAt": "2026-05-01T08:00:00+00:00",
                "state": "sent", "releasedAt": "2026-04-30T08:00:00.004112+00:00", "sent": 1,
                "failed": 0, "suppressed": 0, "reason": null
            }]
        }],
        "events": [{
            "occurredAt": "2026-04-20T12:00:00+00:00",
            "eventId": "01979a2b-11c0-7d3f-a0c4-b7d8e9f0a1b3",
            "eventType": "reminder:created", "itemId": REMINDER, "version": 1,
            "data": event()["data"]
        }],
        "truncated": false
    })
}

pub(super) fn stats() -> Value {
    json!({
        "estimated": {"occurrences": {"pending": 51200, "sent": 910400}, "notifications": 40100,
        "events": 2003000},
        "dueNow": {"count": 0, "orMore": false}, "oldestDueAt": null,
        "nextDueAt": "2026-04-30T08:00:00Z",
        "eventsLastMinute": {"count": 312, "orMore": false}, "outbox": {"count": 0,
        "orMore": false},
        "eventQueue": {"visible": 0, "inFlight": 2, "delayed": 0}
    })
}

pub(super) fn dead_letters() -> Value {
    json!({"deadLetters": [{
        "messageId": "17", "reason": "UNREADABLE", "detail": "the event type is unknown",
        "receiveCount": 1, "sentAt": "2026-04-20T12:00:00.107728Z",
        "attributes": {"eventType": "notification:explode", "userId": "7f3a"},
        "body": "{\"userId\":\"7f3a\"}"
    }]})
}

pub(super) fn redrive() -> Value {
    json!({"queue": "event", "max": 100})
}

pub(super) fn redriven() -> Value {
    json!({"moved": 1})
}

pub(super) fn audit() -> Value {
    json!({"actions": [{
        "id": "01979a2b11c07d3fa0c4b7d8e9f0a1b4", "at": "2026-04-20T12:00:00.011724Z",
        "actor": "operator-5f0c6c1e", "action": "EXPORT",
        "subject": "9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab",
        "requestId": "01979a2b11c07d3fa0c4b7d8e9f0a1b5",
        "result": "DONE"
    }], "nextCursor": null})
}
