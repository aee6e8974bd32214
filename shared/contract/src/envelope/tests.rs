use serde_json::json;

use super::*;
use crate::Channel;

/// A message as a queue would return it.
struct Stored {
    body: String,
    attributes: BTreeMap<String, String>,
}

impl<'a> From<&'a Stored> for RawMessage<'a> {
    fn from(stored: &'a Stored) -> Self {
        RawMessage {
            body: &stored.body,
            attributes: &stored.attributes,
            message_id: "6f1c",
            sent_at: "2026-01-02T03:04:05Z".parse().expect("a time"),
        }
    }
}

fn received(body: String, attributes: &[(&str, &str)]) -> Stored {
    let attributes = attributes.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Stored { body, attributes: attributes.collect() }
}

fn legacy_body() -> String {
    json!({"userId": "u1", "userEmail": "u1@example.com", "itemId": "abc", "eventData": {
        "id": "abc", "title": "Tablets", "message": "Two", "url": "",
        "date": "2026-05-01T08:00:00.000Z", "notifyOffset": 10, "notifyType": "email",
        "isRecurring": false, "updatedAt": "2026-04-30T08:00:00.000Z"}})
    .to_string()
}

const LEGACY: &[(&str, &str)] =
    &[("eventItemType", "reminder"), ("eventType", "reminder:created"), ("userId", "u1")];

#[test]
fn reads_written_event_back() {
    let event = Event {
        event_type: EventType::ReminderDeleted,
        event_id: crate::new_id(),
        occurred_at: "2026-01-02T03:04:05.678Z".parse().expect("a time"),
        user_id: "u1".to_owned(),
        user_email: None,
        item_id: "abc".parse().expect("an id"),
        version: 7,
        schema: Schema::V2,
        traceparent: Some(Traceparent::generate()),
        data: json!({}),
    };
    let message = event.to_message().expect("JSON");
    assert!(message.attributes.len() <= MAX_ATTRIBUTES);
    let mut raw = received(message.body, &[]);
    raw.attributes = message.attributes;
    assert_eq!(Envelope::decode(&raw).expect("readable"), event);
}

#[test]
fn reads_legacy_date_as_time_of_delivery() {
    let event = Envelope::decode(&received(legacy_body(), LEGACY)).expect("readable");
    let reminder = event.reminder().expect("a reminder");
    assert_eq!(
        (reminder.date.to_rfc3339(), reminder.notify_offsets),
        ("2026-05-01T08:00:00+00:00".to_owned(), vec![0])
    );
    assert_eq!((reminder.content.channels, reminder.content.url), (vec![Channel::Email], None));
    assert_eq!(event.version, 1_777_536_000_000, "the time of its last change");
}

#[test]
fn reads_sns_envelope() {
    let attributes: serde_json::Map<_, _> = LEGACY
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!({"Type": "String", "Value": value})))
        .collect();
    let outer = json!({"Type": "Notification", "MessageId": "0b2e",
        "TopicArn": "arn:aws:sns:us-east-1:000000000000:event-topic",
        "Message": legacy_body(), "Timestamp": "2026-04-30T09:00:00.000Z",
        "MessageAttributes": attributes});
    let event = Envelope::decode(&received(outer.to_string(), &[])).expect("readable");
    assert_eq!(
        (event.event_type, event.event_id),
        (EventType::ReminderCreated, event_id_of("0b2e"))
    );
    assert_eq!(event.occurred_at.to_rfc3339(), "2026-04-30T09:00:00+00:00");
}

#[test]
fn derives_same_id_for_repeat_without_event_id() {
    let message = received(legacy_body(), LEGACY);
    let ids = [0, 1].map(|_| Envelope::decode(&message).expect("readable").event_id);
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn reports_reason_for_unreadable_message() {
    let with = |name: &'static str, value: &'static str| {
        let others = LEGACY.iter().copied().filter(|(other, _)| *other != name);
        others.chain([(name, value)]).collect::<Vec<_>>()
    };
    let eleven: Vec<_> = LEGACY
        .iter()
        .copied()
        .chain([
            ("a", ""),
            ("b", ""),
            ("c", ""),
            ("d", ""),
            ("e", ""),
            ("f", ""),
            ("g", ""),
            ("h", ""),
        ])
        .collect();
    for (body, attributes, reason) in [
        (
            "{".to_owned(),
            LEGACY.to_vec(),
            "the body cannot be read: it is not valid JSON: it ends too early",
        ),
        ("{}".to_owned(), LEGACY.to_vec(), "the body cannot be read: itemId: is required"),
        (
            r#"{"itemId":7,"userId":"u1"}"#.to_owned(),
            LEGACY.to_vec(),
            "the body cannot be read: itemId: must be text, not a whole number",
        ),
        (
            r#"{"itemId":"a","itemId":"b"}"#.to_owned(),
            LEGACY.to_vec(),
            "the body cannot be read: itemId: is given twice",
        ),
        (
            "7".to_owned(),
            LEGACY.to_vec(),
            "the body cannot be read: it must be an object, not a whole number",
        ),
        (legacy_body(), with("eventType", "reminder:exploded"), "the event type is unknown"),
        (legacy_body(), with("schema", "99"), "the schema is unknown"),
        (legacy_body(), with("version", "x"), "the attribute version is malformed"),
        (legacy_body(), Vec::new(), "the attribute eventType is missing"),
        (legacy_body(), eleven, "more than 10 attributes"),
    ] {
        let error = Envelope::decode(&received(body, &attributes)).expect_err(reason);
        assert!(error.to_string().starts_with(reason), "{error}");
    }
}

#[test]
fn never_quotes_message_in_reason() {
    let data = |data: serde_json::Value| {
        let body = json!({"userId": "u1", "itemId": "abc", "eventData": data}).to_string();
        Envelope::decode(&received(body, LEGACY))
            .expect("readable")
            .reminder()
            .expect_err("no reminder")
            .to_string()
    };
    for secret in
        [data(json!("s3cret@example.com")), data(json!({"date": "s3cret", "message": "m"}))]
    {
        assert!(!secret.contains("s3cret"), "{secret}");
    }
    let error = Envelope::decode(&received("\"s3cret\"".to_owned(), LEGACY))
        .expect_err("no body")
        .to_string();
    assert!(error.starts_with("the body cannot be read") && !error.contains("s3cret"), "{error}");
}

#[test]
fn names_faulty_field_of_data_in_plain_words() {
    let reminder = |changes: serde_json::Value, schema: &'static str| {
        let mut data = json!({
            "date": "2026-05-01T08:00:00Z", "notifyOffsets": [0], "channels": ["push"],
            "message": "m", "timeZone": "UTC", "expiresAfterMinutes": 60,
        });
        for (name, value) in changes.as_object().expect("fields") {
            data[name] = value.clone();
            if value == "(removed)" {
                data.as_object_mut().expect("an object").remove(name);
            }
        }
        let attributes: Vec<_> = LEGACY.iter().copied().chain([("schema", schema)]).collect();
        let attributes = if schema.is_empty() { LEGACY } else { &attributes };
        let body = json!({"userId": "u1", "itemId": "abc", "eventData": data}).to_string();
        let envelope = Envelope::decode(&received(body, attributes)).expect("readable");
        envelope.reminder().expect_err("no reminder").to_string()
    };
    let prefix = "eventData of reminder:created cannot be read: ";
    for (changes, schema, expected) in [
        (json!({"message": "(removed)", "other": 1}), "2", "message: is required"),
        (json!({"message": 7}), "2", "message: must be text, not a whole number"),
        (
            json!({"notifyOffsets": ["s3cret"]}),
            "2",
            "notifyOffsets[0]: must be a whole number, not text",
        ),
        (json!({"channels": ["s3cret"]}), "2", "channels[0]: must be push or email"),
        (json!({"channels": {}}), "2", "channels: must be a list, not an object"),
        (json!({"recurrence": {"gap": "skip"}}), "2", "recurrence.rrule: is required"),
        (
            json!({"recurrence": {"rrule": "FREQ=DAILY", "s3cret": 1}}),
            "2",
            "recurrence: has an unknown field",
        ),
        (
            json!({"date": "s3cret"}),
            "2",
            "date: must be an RFC 3339 time, such as 2026-05-01T08:00:00Z",
        ),
        (json!({"notifyType": 7}), "", "notifyType: must be text or a list of texts"),
        (json!({"channels": "s3cret"}), "", "channels: must be one of push, email"),
        (json!({"message": null}), "", "message: must be text, not null"),
        (json!({"data": {"s3cret": 1}}), "2", "data: must be text, not a whole number"),
    ] {
        assert_eq!(reminder(changes, schema), format!("{prefix}{expected}"));
    }
}

#[test]
fn refuses_times_outside_of_contract() {
    for date in ["+262142-12-31T23:59:59Z", "+12026-05-01T08:00:00Z", "-000001-01-01T00:00:00Z"] {
        let body = legacy_body().replace("2026-05-01T08:00:00.000Z", date);
        let send = [("eventType", "notification:send"), ("userId", "u1")];
        let sent = Envelope::decode(&received(body.clone(), &send)).expect("readable").send();
        assert!(sent.is_err_and(|error| error.to_string().contains("date")), "{date}");
        let created = Envelope::decode(&received(body, LEGACY)).expect("readable").reminder();
        assert!(created.is_err_and(|error| error.to_string().contains("date")), "{date}");
    }
    let attributes = [("eventType", "reminder:created"), ("occurredAt", "+262142-12-31T23:59:59Z")];
    let error = Envelope::decode(&received(legacy_body(), &attributes)).expect_err("no such time");
    assert_eq!(error.to_string(), "the attribute occurredAt is malformed");
}

#[test]
fn refuses_addresses_out_of_bounds() {
    let decoded = |email: &str| {
        let body = json!({"userId": "u1", "userEmail": email, "itemId": "abc", "eventData": {}})
            .to_string();
        Envelope::decode(&received(body, LEGACY)).map(|event| event.user_email)
    };
    assert_eq!(decoded("").expect("none"), None);
    assert_eq!(decoded(&"a".repeat(255)).expect("the longest"), Some("a".repeat(255)));
    for email in ["a\nb@example.com", &"a".repeat(256), &"a".repeat(200_000)] {
        let error = decoded(email).expect_err("out of bounds").to_string();
        assert!(error.contains("userEmail") && error.len() < 200, "{error}");
    }
}

#[test]
fn refuses_user_id_that_no_attribute_allows() {
    for id in ["u\u{ffff}", "u\u{1}", &"u".repeat(256)] {
        let body = json!({"userId": id, "itemId": "abc", "eventData": {}}).to_string();
        let error = Envelope::decode(&received(body, LEGACY)).expect_err("malformed");
        assert_eq!(error.to_string(), "the attribute userId is malformed");
    }
}
