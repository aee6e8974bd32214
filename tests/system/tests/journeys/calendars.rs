//! Calendar files, in and out.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use system::{Bus, House, Person, time, whole_seconds, written};

crate::on_both_buses!(an_imported_rule_arrives_and_is_the_same_after_a_second_journey);

async fn an_imported_rule_arrives_and_is_the_same_after_a_second_journey(bus: Bus) {
    let house = House::start(bus).await;
    let (ada, bob) = (house.person("ada"), house.person("bob"));
    ada.registers("token-1", "android").await;
    let first = whole_seconds(Utc::now() + TimeDelta::seconds(64));
    let id = imports(&ada, weekly(first)).await;
    let before = |at, minutes| (minutes, at - TimeDelta::minutes(minutes));
    let weeks = (1..4).map(|week| first + TimeDelta::weeks(week));
    let expected: Vec<_> = weeks.map(|at| (at, vec![before(at, 10), before(at, 1)])).collect();
    assert_eq!(occurrences(&ada, &id, first).await, expected);
    assert_eq!(ada.sees("sent", 1).await[0]["title"], "Team, weekly");

    let file = ada.reminders.get("/reminders/export.ics").await.expect(200).body;
    let file = file.as_str().expect("a calendar file").to_owned();
    assert!(file.contains("RRULE:FREQ=WEEKLY;COUNT=4\r\n"), "{file}");
    let again = imports(&bob, file).await;
    assert_ne!(again, id);
    assert_eq!(occurrences(&bob, &again, first).await, expected);
    house.stands(&id, &["sent", "pending"]).await;
}

fn weekly(first: DateTime<Utc>) -> String {
    let alarm = |minutes: u8| {
        format!(
            "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:soon\r\nTRIGGER:-PT{minutes}M\r\nEND:VALARM\r\n"
        )
    };
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example//EN\r\nBEGIN:VEVENT\r\nUID:1@example.com\r\n\
         DTSTAMP:20260101T000000Z\r\nDTSTART:{}\r\nRRULE:FREQ=WEEKLY;COUNT=4\r\nSUMMARY:Team\\, weekly\r\n\
         {}{}END:VEVENT\r\nEND:VCALENDAR\r\n",
        first.format("%Y%m%dT%H%M%SZ"),
        alarm(1),
        alarm(10),
    )
}

/// Imports a file with one entry and answers its reminder's id.
async fn imports(person: &Person, file: String) -> String {
    let answer = person
        .reminders
        .post_text("/reminders/import", "text/calendar", file)
        .await
        .expect(200)
        .body;
    assert_eq!(
        (answer["imported"].as_array().map(Vec::len), &answer["refused"]),
        (Some(1), &json!([])),
        "{answer}"
    );
    answer["imported"][0]["id"].as_str().expect("an id").to_owned()
}

/// The occurrences after a time, each with its offsets and times of delivery.
async fn occurrences(
    person: &Person,
    id: &str,
    after: DateTime<Utc>,
) -> Vec<(DateTime<Utc>, Vec<(i64, DateTime<Utc>)>)> {
    let path = format!("/reminders/{id}/occurrences?from={}", written(after));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let delivery =
        |it: &Value| (it["notifyOffset"].as_i64().expect("an offset"), time(&it["deliverAt"]));
    let answer = person.reminders.get(&path).await.expect(200).body;
    let occurrence =
        |it: &Value| (time(&it["at"]), list(&it["deliveries"]).iter().map(delivery).collect());
    list(&answer["occurrences"]).iter().map(occurrence).collect()
}
