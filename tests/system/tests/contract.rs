//! Property test of the event contract: the other services can read every event of a change that
//! the REST API accepted, and a push for every kind of device can be built from it.

use std::{collections::BTreeMap, time::Duration};

use bus::{
    BusSettings, Message, Packing, QueueSpec, Received, Settlement, SharedBus, Subscription,
    Topology, settings::PostgresSettings,
};
use chrono::{DateTime, TimeDelta, Utc};
use contract::{Envelope, EventType, occurrence_id};
use event_service::{
    consumer::decode,
    domain::{
        incoming::{Change, Effect, RequestedNotification},
        plan,
    },
};
use notification_service::{
    channels::{
        push::{self, LIMIT_BYTES, Push},
        templates::{Notice, Templates},
    },
    domain::device::DeviceType,
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
    strategy::ValueTree,
    test_runner::TestRunner,
};
use reminder_service::{App, Config};
use serde_json::{Map, Value, json};
use support::{environment, http::Client, postgres, wait_until};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);
const QUEUE: &str = "contract-queue";
/// Number of bodies in one run.
const BODIES: usize = 600;

fn texts(longest: usize) -> impl Strategy<Value = String> {
    let characters = select(vec![
        'a', ' ', '"', '\\', '<', '&', '\n', '\t', 'ß', '世', '😀', '\u{202e}', '\u{fffd}',
        '\u{fffe}', '\u{0}',
    ]);
    let usual = select(vec!['a', 'b', '"', '\\', '\n', 'ß', '世', '😀']);
    prop_oneof![
        4 => vec(usual.clone(), 1..40).prop_map(String::from_iter),
        2 => (usual, select(vec![longest - 1, longest, longest + 1]))
            .prop_map(|(character, times)| character.to_string().repeat(times)),
        1 => vec(characters, 0..20).prop_map(String::from_iter),
    ]
}

fn dates() -> impl Strategy<Value = String> {
    let offsets = select(vec!["Z", "+02:00", "-11:30", "+14:00"]);
    let years =
        prop_oneof![3 => 2027..2200u32, 3 => 1900..2026u32, 2 => 0..1900u32, 1 => 9_990..9_999u32];
    (years, 1..13u32, 1..29u32, 0..24u32, select(vec!["00", "59", "00.123456789"]), offsets)
        .prop_map(|(year, month, day, hour, second, offset)| {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:30:{second}{offset}")
        })
}

fn recurrences() -> impl Strategy<Value = Value> {
    let rules = select(vec![
        "FREQ=YEARLY",
        "FREQ=DAILY",
        "FREQ=WEEKLY;BYDAY=MO,FR",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=DAILY;COUNT=5000",
        "FREQ=WEEKLY;UNTIL=99991231T000000Z",
        " FREQ=HOURLY;INTERVAL=6 ",
        "FREQ=NEVER",
    ]);
    let dates = prop_oneof![
        select(vec![
            "2027-05-02T10:30:00",
            "2027-05-02",
            "2027-05-02T10:30:00.000+02:00",
            "tomorrow"
        ])
        .prop_map(str::to_owned),
        (1..400usize).prop_map(|zeros| format!("2027-05-02T10:30:00.{}Z", "0".repeat(zeros))),
    ];
    let dates = vec(dates, 0..3);
    let policies = (select(vec!["shift", "skip"]), select(vec!["first", "second", "both"]));
    let parts = (rules, dates.clone(), dates, policies);
    parts.prop_map(|(rrule, exdates, rdates, (gap, fold))| {
        json!({"rrule": rrule, "exdates": exdates, "rdates": rdates, "gap": gap, "fold": fold})
    })
}

fn urls() -> impl Strategy<Value = String> {
    let tails = select(vec!["u", "ü", "世", "😀", "%20", "\""]);
    (tails, prop_oneof![0..50usize, 500..2_040usize])
        .prop_map(|(tail, times)| format!("https://example.com/{}", tail.repeat(times)))
}

/// Fields of a reminder, most of them within their bounds.
fn fields() -> impl Strategy<Value = Map<String, Value>> {
    let zones =
        select(vec!["UTC", "Europe/Berlin", "Pacific/Apia", "America/St_Johns", "Mars/Olympus"]);
    let pairs = btree_map(texts(60), texts(900), 0..4);
    let expiries = select(vec![0, 1, 1_440, 525_600, 525_601]);
    let channels = select(vec![vec!["push"], vec!["email"], vec!["push", "email"]]);
    let offsets = vec(select(vec![0, 1, 40_320, 40_321]), 1..4);
    let first = (
        option::weighted(0.3, zones),
        option::weighted(0.5, recurrences()),
        option::weighted(0.4, offsets),
    );
    let second =
        (option::of(texts(200)), option::weighted(0.4, urls()), option::weighted(0.3, pairs));
    let third = (
        option::weighted(0.2, expiries),
        option::of(channels),
        option::weighted(0.2, select(vec!["de", "pt-BR", "x"])),
    );
    (first, second, third).prop_map(
        |((zone, recurrence, offsets), (title, url, data), (expiry, channels, locale))| {
            let mut fields = Map::new();
            let mut set = |name: &str, value: Value| {
                if !value.is_null() {
                    fields.insert(name.to_owned(), value);
                }
            };
            set("timeZone", json!(zone));
            set("recurrence", json!(recurrence));
            set("notifyOffsets", json!(offsets));
            set("title", json!(title));
            set("url", json!(url));
            set("data", json!(data));
            set("expiresAfterMinutes", json!(expiry));
            set("channels", json!(channels));
            set("locale", json!(locale));
            fields
        },
    )
}

fn bodies() -> impl Strategy<Value = Value> {
    (fields(), dates(), texts(2_000)).prop_map(|(mut fields, date, message)| {
        fields.insert("date".to_owned(), json!(date));
        fields.insert("message".to_owned(), json!(message));
        Value::Object(fields)
    })
}

/// A running reminder-service, and a queue that receives its events.
struct TestService {
    client: Client,
    bus: SharedBus,
    shutdown: CancellationToken,
    _database: postgres::Database,
}

impl TestService {
    async fn start() -> Self {
        let database = postgres::migrated("contract", &reminder_service::store::MIGRATOR).await;
        let url = database.url();
        let settings = PostgresSettings { url: url.to_owned().into(), max_connections: 2 };
        let bus = bus::connect(&BusSettings::Postgres(settings), &Packing::default())
            .await
            .expect("a bus");
        let subscription =
            Subscription { topic: "event-topic".to_owned(), filter: BTreeMap::new() };
        let queue = QueueSpec {
            queue: QUEUE.to_owned(),
            max_receive_count: 5,
            subscriptions: vec![subscription],
        };
        let topology = Topology { topics: vec!["event-topic".to_owned()], queues: vec![queue] };
        bus.ensure(&topology).await.expect("a queue");
        let env: BTreeMap<String, String> = environment::service(url)
            .into_iter()
            .chain(environment::postgres_bus(url))
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let app =
            App::build(Config::read(&env).expect("a configuration")).await.expect("a service");
        let client = Client::new(format!("http://{}", app.rest_addr()));
        let admin = Client::new(format!("http://{}", app.admin_addr()));
        let shutdown = CancellationToken::new();
        tokio::spawn(app.run(shutdown.clone()));
        wait_until(LIMIT, async || admin.get("/readyz").await.status == 200).await;
        Self {
            client: client.as_user("ada", "ada@example.com"),
            bus,
            shutdown,
            _database: database,
        }
    }

    /// Receives one event for each accepted change: none may be parked.
    async fn receive(&self, count: usize) -> Vec<Received> {
        let mut events = Vec::new();
        while events.len() < count {
            let received = self
                .bus
                .receive(QUEUE, 500, LIMIT, Duration::from_secs(20))
                .await
                .expect("messages");
            assert!(!received.is_empty(), "{} of {count} changes were published", events.len());
            events.extend(received.iter().cloned());
            let settled = received.into_iter().map(|message| (message, Settlement::Done)).collect();
            self.bus.settle(QUEUE, settled).await.expect("settled");
        }
        events
    }

    /// Creates reminders, and returns the ids of those that were accepted.
    async fn create(&self, bodies: &[Value]) -> Vec<String> {
        let mut created = Vec::new();
        for part in bodies.chunks(100) {
            let answer = self
                .client
                .post("/reminders/bulk", &json!({"reminders": part}))
                .await
                .expect(200)
                .body;
            let results = answer["results"].as_array().expect("results");
            created.extend(
                results.iter().filter_map(|result| result["id"].as_str().map(str::to_owned)),
            );
        }
        created
    }

    /// Changes and snoozes reminders, and returns the number of accepted requests.
    async fn change(&self, ids: &[String], changes: &[Map<String, Value>]) -> usize {
        let mut accepted = 0;
        for (id, fields) in ids.iter().zip(changes) {
            let answer = self
                .client
                .patch(&format!("/reminders/{id}"), &Value::Object(fields.clone()))
                .await;
            assert!(
                matches!(answer.status, 200 | 400 | 413 | 422),
                "{}: {}",
                answer.status,
                answer.body
            );
            accepted += usize::from(answer.status == 200);
            let answer = self
                .client
                .post(&format!("/reminders/{id}/snooze"), &json!({"minutes": 527_040}))
                .await;
            assert!(matches!(answer.status, 200 | 409), "{}: {}", answer.status, answer.body);
            accepted += usize::from(answer.status == 200);
        }
        accepted
    }

    /// Imports a calendar, and returns the number of created reminders.
    async fn import(&self) -> usize {
        let event = |date: &str, text: &str| {
            format!(
                "BEGIN:VEVENT\r\nUID:{date}\r\nDTSTART:{date}\r\nSUMMARY:{text}\r\n\
                 RRULE:FREQ=YEARLY\r\nEND:VEVENT\r\n"
            )
        };
        let dates = [
            "16040229T000000Z",
            "00010101T120000Z",
            "19550501",
            "19991231T235959",
            "99981231T000000Z",
        ];
        let events: String =
            dates.iter().map(|date| event(date, &"Geburtstag 🎂 ".repeat(14))).collect();
        let file =
            format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{events}END:VCALENDAR\r\n");
        let answer = self.client.post_text("/reminders/import", "text/calendar", file).await;
        answer.expect(200).body["created"].as_array().expect("a list").len()
    }
}

/// Builds the message of the next occurrence.
fn sent(
    event: &Envelope,
    requested: &RequestedNotification,
    due_at: DateTime<Utc>,
    delivery: &plan::Delivery,
) -> Message {
    let mut data = serde_json::to_value(&requested.data.content).expect("JSON");
    let id = occurrence_id("reminder", event.item_id.as_str(), due_at);
    let ids = json!({
        "occurrenceId": id.simple().to_string(),
        "source": "reminder",
        "itemId": event.item_id,
        "dueAt": due_at,
        "date": delivery.date,
        "expiresAt": delivery.expires_at,
    });
    data.as_object_mut().expect("an object").extend(ids.as_object().cloned().expect("an object"));
    let send = Envelope { event_type: EventType::NotificationSend, data, ..event.clone() };
    send.to_message().expect("JSON")
}

/// Processes a message as event-service, the scheduler and notification-service do, up to the
/// request to the provider.
fn process(received: &Received, templates: &Templates) -> Result<(), String> {
    let incoming = decode(received).map_err(|refusal| refusal.to_string())?;
    let Effect::Notification { change, .. } = &incoming.effect else {
        return Err("no notification".to_owned());
    };
    let (Change::Create(requested) | Change::Update(requested)) = change else {
        return Err("no content".to_owned());
    };
    let now = Utc::now();
    let outcome =
        plan::merge(None, vec![(&incoming.event, change)], now).ok_or("nothing is planned")?;
    let (due_at, delivery) =
        outcome.deliveries.iter().next_back().ok_or("no delivery is planned")?;
    let message = sent(&incoming.event, requested, *due_at, delivery);
    bus::check(&message, 0).map_err(|error| error.to_string())?;
    let sent = Received { body: message.body, attributes: message.attributes, ..received.clone() };
    let envelope = Envelope::decode(&sent).map_err(|error| error.to_string())?;
    let send = envelope.send().map_err(|error| error.to_string())?;
    let content = &send.content;
    let time_zone = content.time_zone.parse().map_err(|_| "no zone".to_owned())?;
    let push = Push {
        occurrence_id: send.occurrence_id.into_uuid(),
        source: &send.source,
        item_id: send.item_id.as_str(),
        title: content.title.as_deref(),
        message: &content.message,
        url: content.url.as_deref(),
        data: &content.data,
        priority: content.priority,
        date: send.date,
        time_zone,
        expires_at: send.expires_at,
        locale: content.locale.as_deref(),
    };
    let notice = Notice {
        title: push.title,
        message: push.message,
        url: push.url,
        date: push.date,
        time_zone,
        locale: push.locale,
    };
    let texts = templates.texts(&notice, None);
    for device in [DeviceType::Android, DeviceType::Ios, DeviceType::Web] {
        let text = texts.push(push.message);
        let body = push::request_body("token", device, &push, text, due_at.min(&now).to_owned());
        let request: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let ids = &request["message"]["data"];
        if body.len() > LIMIT_BYTES + 40
            || ids["itemId"] != send.item_id.as_str()
            || !ids["occurrenceId"].is_string()
        {
            return Err(format!("a push of {} bytes for {device}", body.len()));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_all_events_that_rest_accepts() {
    let service = TestService::start().await;
    let templates = Templates::built_in().expect("templates");
    let mut runner = TestRunner::default();
    let bodies: Vec<Value> =
        (0..BODIES).map(|_| bodies().new_tree(&mut runner).expect("a body").current()).collect();
    let changes: Vec<_> =
        (0..60).map(|_| fields().new_tree(&mut runner).expect("fields").current()).collect();

    let created = service.create(&bodies).await;
    assert!(created.len() > BODIES / 20, "only {} of {BODIES} were accepted", created.len());
    let changed = service.change(&created, &changes).await;
    let imported = service.import().await;
    assert!(imported >= 4, "{imported} were imported");

    let events = service.receive(created.len() + changed + imported).await;
    let refused: Vec<_> = events
        .iter()
        .filter_map(|message| {
            Some(format!("{}\n{}", process(message, &templates).err()?, message.body))
        })
        .collect();
    assert!(refused.is_empty(), "{} of {}:\n{}", refused.len(), events.len(), refused.join("\n"));
    service.shutdown.cancel();
}

#[test]
fn keeps_sums_of_times_within_bounds() {
    let farthest: DateTime<Utc> = "9999-12-31T23:59:59.999Z".parse().expect("a time");
    let expiry = TimeDelta::minutes(i64::from(contract::bounds::MAX_EXPIRY_MINUTES) * 100);
    assert!(contract::bounds::is_instant(farthest + expiry));
}
