use serde_json::json;

use super::*;
use crate::{Envelope, Event, EventType, ReminderData, Schema, Traceparent};

fn event(item: &str) -> Event<serde_json::Value> {
    Event {
        event_type: EventType::ReminderDeleted,
        event_id: crate::new_id(),
        occurred_at: "2026-01-02T03:04:05.678Z".parse().expect("a time"),
        user_id: "zoë \"1\"".to_owned(),
        user_email: Some("zoe@example.com".to_owned()),
        item_id: item.parse().expect("an id"),
        version: 7,
        schema: Schema::V2,
        traceparent: Some(Traceparent::generate()),
        data: json!({"reason": "a \u{1f600} and ä"}),
    }
}

fn message(item: &str) -> Message {
    event(item).to_message().expect("JSON")
}

fn packed(messages: &[Message]) -> Message {
    let events: Vec<_> = messages.iter().map(|message| Packable::of(message).unwrap()).collect();
    pack(&events.iter().collect::<Vec<_>>())
}

fn raw<'a>(body: &'a str, attributes: &'a BTreeMap<String, String>) -> RawMessage<'a> {
    RawMessage { body, attributes, message_id: "6f1c", sent_at: chrono::DateTime::UNIX_EPOCH }
}

fn open_message(message: &Message) -> Option<Vec<Message>> {
    open(raw(&message.body, &message.attributes))
}

/// Reads a message of a pack as an event.
fn decoded(message: &Message) -> Envelope {
    Envelope::decode(raw(&message.body, &message.attributes)).expect("readable")
}

#[test]
fn opens_pack_into_the_events_it_was_made_of() {
    let mut events = [event("a"), Event { user_email: None, traceparent: None, ..event("b") }];
    events[1].version = i64::MAX;
    let messages = events.clone().map(|event| event.to_message().expect("JSON"));

    let pack = packed(&messages);

    let shared = [
        ("eventItemType", "reminder"),
        ("eventType", "reminder:deleted"),
        ("schema", "3"),
        ("userId", "zoë \"1\""),
    ];
    let shared = shared.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(pack.attributes, BTreeMap::from(shared));
    let body: serde_json::Value = serde_json::from_str(&pack.body).expect("JSON");
    assert_eq!(body["events"][0]["version"], 7);
    assert_eq!(body["events"][1]["userEmail"], serde_json::Value::Null);
    let opened = open_message(&pack).expect("a pack");
    assert_eq!(opened, messages);
    assert_eq!(opened.iter().map(decoded).collect::<Vec<_>>(), events);
}

#[test]
fn names_user_of_pack_of_one_user() {
    let user = |name: &str| Event { user_id: name.to_owned(), ..event("a") };
    let pack = |users: [&str; 2]| packed(&users.map(|name| user(name).to_message().expect("JSON")));
    assert_eq!(pack(["ada", "ada"]).attributes["userId"], "ada");
    assert_eq!(pack(["ada", "zoë"]).attributes.get("userId"), None);
}

#[test]
fn opens_pack_in_envelope_of_sns() {
    let messages = [message("a"), message("b")];
    let pack = packed(&messages);
    let attribute = |(name, value): (&String, &String)| {
        (name.clone(), json!({"Type": "String", "Value": value}))
    };
    let attributes: serde_json::Map<_, _> = pack.attributes.iter().map(attribute).collect();
    let envelope = json!({"Message": pack.body, "MessageAttributes": attributes}).to_string();
    assert_eq!(open(raw(&envelope, &BTreeMap::new())), Some(messages.to_vec()));
}

#[test]
fn opens_pack_in_other_order_of_fields() {
    let messages = [message("a")];
    let pack = packed(&messages);
    let body: serde_json::Value = serde_json::from_str(&pack.body).expect("JSON");
    let spaced = serde_json::to_string_pretty(&body).expect("JSON");
    let opened = open(raw(&spaced, &pack.attributes)).expect("a pack");
    assert_eq!(decoded(&opened[0]), decoded(&messages[0]));
}

#[test]
fn leaves_other_messages_alone() {
    let message = message("a");
    assert_eq!(open_message(&message), None);
    let legacy = BTreeMap::from([("eventType".to_owned(), "reminder:created".to_owned())]);
    assert_eq!(open(raw(r#"{"userId":"u","itemId":"a","eventData":{}}"#, &legacy)), None);
}

#[test]
fn packs_only_what_opens_unchanged() {
    let changed = |change: &dyn Fn(&mut Message)| {
        let mut message = message("a");
        change(&mut message);
        Packable::of(&message).is_some()
    };
    assert!(changed(&|_| {}));
    let attribute = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        move |message: &mut Message| {
            message.attributes.insert(name.clone(), value.clone());
        }
    };
    assert!(!changed(&attribute("colour", "red")));
    assert!(!changed(&attribute("schema", "3")));
    assert!(!changed(&attribute("version", "x")));
    assert!(!changed(&attribute("userId", "another")));
    assert!(!changed(&|message| drop(message.attributes.remove("eventId"))));
    assert!(!changed(&|message| drop(message.attributes.remove("schema"))));
    assert!(!changed(&|message| message.body.push('x')));
    assert!(!changed(&|message| message.body = message.body.replacen('{', r#"{"new":1,"#, 1)));
}

#[test]
fn refuses_malformed_entry_alone() {
    let messages = [message("a"), message("b")];
    let pack = packed(&messages);
    let empty =
        r#"{"eventId":"x","occurredAt":"","userId":"u","itemId":"a","version":1,"eventData":{}}"#;
    for malformed in [r#"{"eventId":"x"}"#, "7", r#"{"userId":null}"#, empty] {
        let body = pack.body.replacen('[', &format!("[{malformed},"), 1);
        let opened = open(raw(&body, &pack.attributes)).expect("a pack");
        assert_eq!(opened[1..], messages);
        assert_eq!(opened[0].body, malformed);
        assert!(Envelope::decode(raw(&opened[0].body, &opened[0].attributes)).is_err());
    }
}

#[test]
fn refuses_unreadable_packs_with_reason() {
    let pack = packed(&[message("a")]);
    let entry = pack.body.trim_start_matches(r#"{"events":["#).trim_end_matches("]}");
    let many = format!(r#"{{"events":[{}]}}"#, vec![entry; MAX_READ_EVENTS + 1].join(","));
    for body in [r#"{"events":[]}"#, "{}", "[]", "{", &many] {
        let raw = raw(body, &pack.attributes);
        assert_eq!(open(raw), None);
        let error = Envelope::decode(raw).expect_err("no event");
        assert!(error.to_string().contains("a list of 1 to 1000"), "{error}");
    }
}

#[test]
fn knows_size_of_pack() {
    let messages: Vec<Message> = (0..5).map(|number| message(&format!("item-{number}"))).collect();
    let events: Vec<_> =
        messages.iter().map(|message| Packable::of(message).expect("packable")).collect();
    let known: usize = events.iter().map(Packable::bytes).sum();
    let pack = packed(&messages);
    let sizes = pack.attributes.iter();
    let attributes: usize =
        sizes.map(|(name, value)| name.len() + "String".len() + value.len()).sum();
    let size = pack.body.len() + attributes;
    let bound = known + empty_pack_bytes(&events[0]);
    assert!(size <= bound && bound <= size + 32, "{size} and {bound}");
}

#[test]
fn carries_largest_reminder() {
    let data = ReminderData {
        notify_offsets: vec![0; 5],
        ..serde_json::from_value(json!({
            "date": "2026-05-01T08:00:00.000Z", "notifyOffsets": [0], "channels": ["push"],
            "message": "x".repeat(2_000), "data": {}, "priority": "normal", "timeZone": "UTC",
            "expiresAfterMinutes": 60
        }))
        .expect("a reminder")
    };
    let event = Event {
        event_type: EventType::ReminderCreated,
        data: serde_json::to_value(data).expect("JSON"),
        ..event("a")
    };
    let messages = [event.to_message().expect("JSON")];
    assert_eq!(open_message(&packed(&messages)), Some(messages.to_vec()));
}
