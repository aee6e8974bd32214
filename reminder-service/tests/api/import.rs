//! Repeated imports of a calendar file.

use serde_json::{Value, json};
use support::http::Answer;

use crate::service::{Service, least_with};

/// A calendar with one event for each list of lines.
fn file(events: &[&[&str]]) -> String {
    let event =
        |lines: &&[&str]| format!("BEGIN:VEVENT\r\n{}\r\nEND:VEVENT\r\n", lines.join("\r\n"));
    let events: String = events.iter().map(event).collect();
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\n{events}END:VCALENDAR\r\n")
}

const SERIES: [&str; 5] = [
    "UID:1",
    "DTSTART;TZID=Europe/Berlin:20960507T090000",
    "RRULE:FREQ=WEEKLY",
    "SUMMARY:Tablets",
    "SEQUENCE:2",
];
const MOVED: [&str; 4] = [
    "UID:1",
    "RECURRENCE-ID;TZID=Europe/Berlin:20960514T090000",
    "DTSTART;TZID=Europe/Berlin:20960515T100000",
    "SUMMARY:Tablets",
];
const WITHOUT_UID: [&str; 2] = ["DTSTART:20960507T070000Z", "SUMMARY:Walk"];

async fn import(service: &Service, query: &str, file: &str) -> Value {
    let path = format!("/reminders/import{query}");
    service.ada.post_text(&path, "text/calendar", file.to_owned()).await.expect(200).body
}

/// Numbers of the created, updated, unchanged and refused entries.
fn totals(answer: &Value) -> [u64; 4] {
    ["created", "updated", "unchanged", "refused"].map(|list| {
        let total = answer["totals"][list].as_u64().expect("a total");
        assert_eq!(answer[list].as_array().map(Vec::len), Some(total as usize), "{answer}");
        total
    })
}

fn id(answer: &Value, list: &str, index: usize) -> String {
    answer[list][index]["id"].as_str().expect("an id").to_owned()
}

async fn shown(service: &Service, id: &str) -> Value {
    service.ada.get(&format!("/reminders/{id}")).await.expect(200).body
}

#[tokio::test]
async fn changes_nothing_when_file_is_imported_again() {
    let service = Service::start().await;
    let file = file(&[&SERIES, &MOVED, &WITHOUT_UID, &WITHOUT_UID]);
    let first = import(&service, "", &file).await;
    assert_eq!(totals(&first), [4, 0, 0, 0]);
    let before = service.ada.get("/reminders?limit=100").await.expect(200).body;

    // Another export of the same calendar has other times of its own.
    let exported_again = file.replace("SEQUENCE:2", "SEQUENCE:2\r\nDTSTAMP:20960101T000000Z");
    for file in [&file, &exported_again] {
        let again = import(&service, "", file).await;
        assert_eq!(totals(&again), [0, 0, 4, 0], "{again}");
        assert_eq!(again["notes"], json!([]));
        for index in 0..4 {
            assert_eq!(id(&again, "unchanged", index), id(&first, "created", index));
        }
    }
    assert_eq!(service.ada.get("/reminders?limit=100").await.expect(200).body, before);

    let added = import(&service, "?mode=add", &file).await;
    assert_eq!((totals(&added), service.count("reminders").await), ([4, 0, 0, 0], 8));
    assert_eq!(totals(&import(&service, "?mode=sync", &file).await), [0, 0, 4, 0]);
}

#[tokio::test]
async fn updates_reminder_of_changed_entry() {
    let service = Service::start().await;
    let first = import(&service, "", &file(&[&SERIES])).await;
    let id = id(&first, "created", 0);
    let path = format!("/reminders/{id}");
    service.ada.patch(&path, &json!({"priority": "high", "data": {"a": "b"}})).await.expect(200);
    service.ada.post(&format!("{path}/acknowledge"), &json!({})).await;

    let newer = file(&[&SERIES]).replace("T090000", "T100000").replace("Tablets", "Drops");
    let answer = import(&service, "", &newer).await;
    assert_eq!((totals(&answer), &answer["updated"][0]["id"]), ([0, 1, 0, 0], &json!(id)));
    let reminder = shown(&service, &id).await;
    assert_eq!(
        [&reminder["title"], &reminder["localDate"], &reminder["priority"], &reminder["version"]],
        [&json!("Drops"), &json!("2096-05-07T10:00:00"), &json!("high"), &json!(3)],
        "fields that the file does not state stay"
    );
    assert_eq!(reminder["data"], json!({"a": "b"}));
    assert_eq!(totals(&import(&service, "", &newer).await), [0, 0, 1, 0]);
}

#[tokio::test]
async fn leaves_reminder_unchanged_when_entry_is_older() {
    let service = Service::start().await;
    let stamped = |sequence: u8, stamp: &str, title: &str| {
        file(&[&[
            "UID:1",
            "DTSTART:20960507T070000Z",
            &format!("SEQUENCE:{sequence}"),
            &format!("DTSTAMP:{stamp}"),
            &format!("SUMMARY:{title}"),
        ]])
    };
    let first = import(&service, "", &stamped(2, "20260401T000000Z", "Second")).await;
    let id = id(&first, "created", 0);
    for older in [stamped(1, "20260501T000000Z", "A"), stamped(2, "20260301T000000Z", "B")] {
        let answer = import(&service, "", &older).await;
        assert_eq!(totals(&answer), [0, 0, 1, 0]);
        assert_eq!(answer["notes"][0]["line"], 4, "{answer}");
        assert_eq!(shown(&service, &id).await["title"], "Second");
    }
    for newer in [stamped(2, "20260402T000000Z", "C"), stamped(3, "20260101T000000Z", "D")] {
        assert_eq!(totals(&import(&service, "", &newer).await), [0, 1, 0, 0]);
    }
    assert_eq!(shown(&service, &id).await["title"], "D");
}

#[tokio::test]
async fn keeps_changes_of_user_when_entry_is_the_same() {
    let service = Service::start().await;
    let file = file(&[&SERIES]);
    let id = id(&import(&service, "", &file).await, "created", 0);
    service.ada.patch(&format!("/reminders/{id}"), &json!({"title": "Mine"})).await.expect(200);
    assert_eq!(totals(&import(&service, "", &file).await), [0, 0, 1, 0]);
    assert_eq!(shown(&service, &id).await["title"], "Mine");

    service.ada.delete(&format!("/reminders/{id}")).await.expect(200);
    assert_eq!(totals(&import(&service, "", &file).await), [1, 0, 0, 0], "it was deleted here");
}

#[tokio::test]
async fn knows_own_export() {
    let service = Service::start().await;
    let id = service.make(&least_with(json!({"title": "A", "data": {"a": "b"}}))).await;
    let export = async || {
        let answer = service.ada.get("/reminders/export.ics").await.expect(200);
        answer.body.as_str().expect("text").to_owned()
    };
    let first = export().await;
    assert_eq!(totals(&import(&service, "", &first).await), [0, 0, 1, 0]);
    service.ada.patch(&format!("/reminders/{id}"), &json!({"title": "B"})).await.expect(200);
    assert_eq!(totals(&import(&service, "", &first).await), [0, 0, 1, 0]);
    assert_eq!(shown(&service, &id).await["title"], "B");

    let edited = export().await.replace("SUMMARY:B", "SUMMARY:C");
    assert_eq!(totals(&import(&service, "", &edited).await), [0, 1, 0, 0]);
    assert_eq!(shown(&service, &id).await["title"], "C");

    // Another user's reminder is neither found nor changed.
    let bob = service.anonymous.as_user("bob", "bob@example.com");
    let answer = bob.post_text("/reminders/import", "text/calendar", edited).await.expect(200);
    assert_eq!(totals(&answer.body), [1, 0, 0, 0]);
    assert_eq!(shown(&service, &id).await["version"], 3);
}

#[tokio::test]
async fn changes_nothing_when_atomic_entry_is_refused() {
    let service = Service::start().await;
    let id = id(&import(&service, "", &file(&[&SERIES])).await, "created", 0);
    let past = ["UID:2", "DTSTART:20200101T090000Z", "SUMMARY:Long ago"];
    let changed = file(&[&SERIES, &past]).replace("Tablets", "Drops");
    let answer = import(&service, "?atomic=true", &changed).await;
    assert_eq!(totals(&answer), [0, 0, 0, 1]);
    assert_eq!(shown(&service, &id).await["title"], "Tablets");
    assert_eq!(totals(&import(&service, "", &changed).await), [0, 1, 0, 1]);

    let moved_to_past =
        file(&[&["UID:1", "DTSTART:20200101T090000Z", "SUMMARY:Drops", "SEQUENCE:9"]]);
    let answer = import(&service, "", &moved_to_past).await;
    assert_eq!(
        (totals(&answer), &answer["refused"][0]["reason"]),
        ([0, 0, 0, 1], &json!("INVALID_DUEDATE"))
    );
}

#[tokio::test]
async fn imports_file_once_when_sent_twice_at_once() {
    let service = Service::start().await;
    let uids: Vec<_> = (0..40).map(|number| format!("UID:{number}")).collect();
    let events: Vec<[&str; 3]> = uids
        .iter()
        .map(|uid| [uid.as_str(), "DTSTART:20960507T070000Z", "SUMMARY:Tablets"])
        .collect();
    let events: Vec<&[&str]> = events.iter().map(<[_; 3]>::as_slice).collect();
    let file = file(&events);
    let answers = futures::future::join_all((0..6).map(|_| import(&service, "", &file))).await;
    let created: u64 = answers.iter().map(|answer| totals(answer)[0]).sum();
    assert_eq!((created, service.count("reminders").await), (40, 40));
}

#[tokio::test]
async fn says_how_to_send_a_file() {
    let service = Service::start().await;
    let refused = |answer: Answer, status: u16| {
        let answer = answer.expect(status);
        let message = answer.body["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("Content-Type: text/calendar"), "{message}");
        assert!(message.contains("--data-binary"), "{message}");
    };
    let file = file(&[&SERIES]);
    for content_type in ["application/json", "multipart/form-data; boundary=x", "text/plain", ""] {
        let answer = service.ada.post_text("/reminders/import", content_type, file.clone()).await;
        refused(answer, 415);
    }
    for empty in ["", "\r\n \n"] {
        let empty = empty.to_owned();
        refused(service.ada.post_text("/reminders/import", "text/calendar", empty).await, 400);
    }
    for content_type in ["text/calendar; charset=utf-8; method=PUBLISH", "Text/Calendar"] {
        let answer = service.ada.post_text("/reminders/import", content_type, file.clone()).await;
        answer.expect(200);
    }
    let wrong = service.ada.post_text("/reminders/import?mode=merge", "text/calendar", file).await;
    let wrong = wrong.expect(400);
    let message = wrong.body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("mode: "), "{message}");
}

#[tokio::test]
async fn keeps_skipped_occurrence_when_only_text_changes() {
    let service = Service::start().await;
    let calendar = file(&[&SERIES]);
    let id = id(&import(&service, "", &calendar).await, "created", 0);
    let occurrence = format!("/reminders/{id}/occurrences/2096-05-14T07:00:00Z");
    service.ada.patch(&occurrence, &json!({"skip": true})).await.expect(200);
    let exdates = async || shown(&service, &id).await["recurrence"]["exdates"].clone();
    let skipped = exdates().await;
    assert_ne!(skipped, json!([]));

    let corrected = calendar.replace("Tablets", "Drops");
    assert_eq!(totals(&import(&service, "", &corrected).await), [0, 1, 0, 0]);
    assert_eq!(
        (shown(&service, &id).await["title"].clone(), exdates().await),
        (json!("Drops"), skipped)
    );

    let moved = corrected.replace("T090000", "T100000");
    assert_eq!(totals(&import(&service, "", &moved).await), [0, 1, 0, 0]);
    assert_eq!(exdates().await, json!([]), "the calendar has another schedule");
}

#[tokio::test]
async fn remembers_newest_version_of_same_entry() {
    let service = Service::start().await;
    let version = |sequence: u8, title: &str| {
        file(&[&[
            "UID:1",
            "DTSTART:20960507T070000Z",
            &format!("SEQUENCE:{sequence}"),
            &format!("SUMMARY:{title}"),
        ]])
    };
    let id = id(&import(&service, "", &version(0, "A")).await, "created", 0);
    for file in [version(5, "A"), version(3, "B")] {
        assert_eq!(totals(&import(&service, "", &file).await), [0, 0, 1, 0]);
    }
    assert_eq!(shown(&service, &id).await["title"], "A");
}

#[tokio::test]
async fn refuses_import_that_others_change_each_time() {
    let service = Service::start().await;
    let series = file(&[&SERIES]);
    let id = id(&import(&service, "", &series).await, "created", 0);
    // Each reading of the entries shows another version of them, and is counted.
    let pool = service.database.pool().await;
    sqlx::raw_sql(
        "create sequence readings;
         alter table imported_entries rename to entries;
         create view imported_entries as
             select user_id, key, reminder_id, digest, schedule_digest,
                 nextval('readings') as sequence, stamped_at
             from entries;",
    )
    .execute(&pool)
    .await
    .expect("a view");
    let refused = service
        .ada
        .post_text("/reminders/import", "text/calendar", series.replace("Tablets", "Drops"))
        .await
        .expect(503);
    assert_eq!(refused.reason(), Some("UPSTREAM_UNAVAILABLE"));
    let readings: i64 = sqlx::query_scalar("select last_value from readings")
        .fetch_one(&pool)
        .await
        .expect("a number");
    assert_eq!(readings, 2 * 8, "twice for each repetition");
    assert_eq!(shown(&service, &id).await["title"], "Tablets");
}
