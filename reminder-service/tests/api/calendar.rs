//! Import and export of calendar files.

use serde_json::{Value, json};
use support::http::{Answer, Client};

use crate::service::{Service, least_with};

/// A file with one event for each of the given texts.
fn file(events: &[&str]) -> String {
    let events: String =
        events.iter().map(|lines| format!("BEGIN:VEVENT\r\n{lines}\r\nEND:VEVENT\r\n")).collect();
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//Example//EN\r\n{events}\
         END:VCALENDAR\r\n"
    )
}

const WEEKLY: &str = "UID:1\r\nDTSTART;TZID=Europe/Berlin:20960507T090000\r\n\
                      RRULE:FREQ=WEEKLY;BYDAY=MO\r\n\
                      EXDATE;TZID=Europe/Berlin:20960514T090000\r\nSUMMARY:Tablets";
const PAST: &str = "UID:2\r\nDTSTART:20200101T090000Z\r\nSUMMARY:Long ago";
const NEVER: &str = "UID:3\r\nDTSTART:21260101T090000Z\r\n\
                     RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\r\nSUMMARY:Never";

async fn import(service: &Service, path: &str, file: String) -> Answer {
    service.ada.post_text(path, "text/calendar", file).await
}

#[tokio::test]
async fn imports_valid_entries_and_names_others_by_line() {
    let service = Service::start().await;
    let answer =
        import(&service, "/reminders/import", file(&[WEEKLY, PAST, NEVER])).await.expect(200).body;

    assert_eq!(
        (&answer["created"][0]["line"], &answer["created"][0]["uid"]),
        (&json!(4), &json!("1"))
    );
    let refused: Vec<_> = answer["refused"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|refused| (refused["line"].clone(), refused["uid"].clone()))
        .collect();
    assert_eq!(refused, [(json!(11), json!("2")), (json!(16), json!("3"))]);
    let reasons = [0, 1].map(|entry| answer["refused"][entry]["reason"].clone());
    assert_eq!(reasons, ["INVALID_DUEDATE", "INVALID_RECURRENCE"]);
    let message = answer["refused"][1]["message"].as_str().unwrap_or_default();
    assert!(message.contains("at least one occurrence"), "{answer}");
    let id = answer["created"][0]["id"].as_str().expect("an id");
    let shown =
        service.ada.get(&format!("/reminders/{id}/occurrences?limit=2")).await.expect(200).body;
    let at: Vec<_> = shown["occurrences"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|occurrence| occurrence["at"].clone())
        .collect();
    assert_eq!(at, ["2096-05-07T07:00:00.000Z", "2096-05-21T07:00:00.000Z"]);
}

#[tokio::test]
async fn imports_nothing_when_atomic_entry_is_refused() {
    let service = Service::start().await;
    let answer = import(&service, "/reminders/import?atomic=true", file(&[WEEKLY, PAST]))
        .await
        .expect(200)
        .body;
    assert_eq!(
        (&answer["created"], answer["refused"].as_array().map(Vec::len)),
        (&json!([]), Some(1))
    );
    assert_eq!((service.count("reminders").await, service.count("outbox").await), (0, 0));
    let answer =
        import(&service, "/reminders/import?atomic=true", file(&[WEEKLY])).await.expect(200).body;
    assert_eq!(answer["created"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn imports_exported_file_with_same_occurrences() {
    let service = Service::start().await;
    let rule = json!({
        "rrule": "FREQ=WEEKLY;BYDAY=SU;COUNT=30",
        "exdates": ["2096-05-19T01:30:00"],
        "gap": "skip",
        "fold": "both"
    });
    let bodies = [
        least_with(json!({
            "date": "2126-03-03T01:30:00Z",
            "timeZone": "Europe/London",
            "recurrence": rule,
            "notifyOffsets": [0, 45]
        })),
        least_with(json!({
            "message": "Semicolons; commas, and\nlines",
            "title": "A; b, c",
            "data": {"a": "b"},
            "priority": "high",
            "locale": "de"
        })),
    ];
    let mut before = Vec::new();
    for body in &bodies {
        before.push(occurrences(&service, &service.make(body).await).await);
    }
    let exported = service.ada.get("/reminders/export.ics").await.expect(200);
    assert_eq!(exported.header("content-type"), Some("text/calendar; charset=utf-8"));
    let text = exported.body.as_str().expect("text").to_owned();
    service.ada.delete("/me").await.expect(200);

    let answer = import(&service, "/reminders/import", text).await.expect(200).body;

    assert_eq!((&answer["refused"], &answer["notes"]), (&json!([]), &json!([])), "{answer}");
    let mut after = Vec::new();
    for made in answer["created"].as_array().expect("a list") {
        after.push(occurrences(&service, made["id"].as_str().expect("an id")).await);
    }
    after.reverse();
    assert_eq!(after, before);
}

/// The occurrences of a reminder, and its fields without those that the service sets.
async fn occurrences(service: &Service, id: &str) -> (Value, Value) {
    let shown =
        service.ada.get(&format!("/reminders/{id}/occurrences?limit=100")).await.expect(200).body;
    let mut reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    for own in ["id", "createdAt", "updatedAt", "version"] {
        reminder.as_object_mut().expect("an object").remove(own);
    }
    (shown, reminder)
}

const EMAIL: &str = "DTSTART:20960507T090000Z\r\nLOCATION:Here\r\n\
                     BEGIN:VALARM\r\nACTION:EMAIL\r\nTRIGGER:-PT30M\r\nEND:VALARM";

/// Channels and title of the newest reminder of a user.
async fn newest(client: &Client) -> (Value, Value) {
    let reminders = client.get("/reminders?limit=1").await.expect(200).body;
    let newest = &reminders["reminders"]["items"][0];
    (newest["channels"].clone(), newest["title"].clone())
}

#[tokio::test]
async fn delivers_email_alarms_to_usable_addresses_only() {
    let database = Service::start().await.stop().await;
    let service = Service::start_on(database, &[("MAX_EMAIL_ADDRESSES_PER_DAY", "1")]).await;
    service.ready().await;
    let ada = |email: &str| service.anonymous.as_user("ada", email);
    for (email, channel, reason) in [
        ("ada@example.com", "email", None),
        ("ada2@example.com", "push", Some("the daily limit of different e-mail addresses")),
        ("nobody", "push", Some("to be an e-mail address")),
    ] {
        let client = ada(email).with_header("accept-language", "de-AT, en;q=0.5");
        let file = file(&[&format!("UID:{email}\r\n{EMAIL}")]);
        let answer = client.post_text("/reminders/import", "text/calendar", file).await;
        let notes = answer.expect(200).body["notes"].to_string();
        assert_eq!(newest(&client).await, (json!([channel]), json!("Erinnerung")), "{notes}");
        assert_eq!(notes.contains("an alarm by e-mail is delivered by push"), reason.is_some());
        assert!(notes.contains(reason.unwrap_or("LOCATION was left out")), "{notes}");
    }
}
