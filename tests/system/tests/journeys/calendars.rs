//! Import and export of calendar files.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use system::{Bus, TestSuite, TestUser, parse_time, rfc3339, truncate_to_seconds};

crate::on_both_buses!(keeps_rule_after_import_export_and_import);

async fn keeps_rule_after_import_export_and_import(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let (ada, bob) = (suite.user("ada"), suite.user("bob"));
    ada.register_device("token-1", "android").await;
    let first = truncate_to_seconds(Utc::now() + TimeDelta::seconds(64));
    let id = import(&ada, weekly(first)).await;
    let delivery = |at, minutes| (minutes, at - TimeDelta::minutes(minutes));
    let weeks = (1..4).map(|week| first + TimeDelta::weeks(week));
    let expected: Vec<_> = weeks.map(|at| (at, vec![delivery(at, 10), delivery(at, 1)])).collect();
    assert_eq!(occurrences(&ada, &id, first).await, expected);
    assert_eq!(ada.wait_for_deliveries("sent", 1).await[0]["title"], "Team, weekly");

    let file = ada.reminders.get("/reminders/export.ics").await.expect(200).body;
    let file = file.as_str().expect("a calendar file").to_owned();
    assert!(file.contains("RRULE:FREQ=WEEKLY;COUNT=4\r\n"), "{file}");
    let again = import(&bob, file).await;
    assert_ne!(again, id);
    assert_eq!(occurrences(&bob, &again, first).await, expected);
    suite.wait_for_states(&id, &["sent", "pending"]).await;
}

fn weekly(first: DateTime<Utc>) -> String {
    let alarm = |minutes: u8| {
        format!(
            "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:soon\r\n\
             TRIGGER:-PT{minutes}M\r\nEND:VALARM\r\n"
        )
    };
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example//EN\r\n\
         BEGIN:VEVENT\r\nUID:1@example.com\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:{}\r\n\
         RRULE:FREQ=WEEKLY;COUNT=4\r\nSUMMARY:Team\\, weekly\r\n{}{}END:VEVENT\r\n\
         END:VCALENDAR\r\n",
        first.format("%Y%m%dT%H%M%SZ"),
        alarm(1),
        alarm(10),
    )
}

/// Imports a file with one entry and returns the id of its reminder.
async fn import(user: &TestUser, file: String) -> String {
    let answer =
        user.reminders.post_text("/reminders/import", "text/calendar", file).await.expect(200).body;
    assert_eq!(
        (answer["created"].as_array().map(Vec::len), &answer["refused"]),
        (Some(1), &json!([])),
        "{answer}"
    );
    answer["created"][0]["id"].as_str().expect("an id").to_owned()
}

/// Returns the occurrences after a time, each with its offsets and times of delivery.
async fn occurrences(
    user: &TestUser,
    id: &str,
    after: DateTime<Utc>,
) -> Vec<(DateTime<Utc>, Vec<(i64, DateTime<Utc>)>)> {
    let path = format!("/reminders/{id}/occurrences?from={}", rfc3339(after));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let delivery = |entry: &Value| {
        (entry["notifyOffset"].as_i64().expect("an offset"), parse_time(&entry["deliverAt"]))
    };
    let answer = user.reminders.get(&path).await.expect(200).body;
    let occurrence = |entry: &Value| {
        (parse_time(&entry["at"]), list(&entry["deliveries"]).iter().map(delivery).collect())
    };
    list(&answer["occurrences"]).iter().map(occurrence).collect()
}
