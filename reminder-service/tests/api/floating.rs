//! Floating reminders, which follow the zone of their user's preferences.

use serde_json::{Value, json};

use crate::{
    preferences::{Preferences, in_zone},
    service::{Service, least, merged},
};

fn floating(date: &str) -> Value {
    json!({"date": date, "timeZone": "user", "message": "Tablets"})
}

/// Times and zones of a reminder.
async fn shown(service: &Service, id: &str) -> [String; 4] {
    let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    ["date", "localDate", "timeZone", "effectiveTimeZone"]
        .map(|field| reminder[field].as_str().unwrap_or_default().to_owned())
}

const LOCAL: &str = "2096-07-01T09:00:00";
const IN_BERLIN: [&str; 4] = ["2096-07-01T07:00:00.000Z", LOCAL, "user", "Europe/Berlin"];
const IN_TOKYO: [&str; 4] = ["2096-07-01T00:00:00.000Z", LOCAL, "user", "Asia/Tokyo"];

#[tokio::test]
async fn creates_floating_reminder_in_zone_of_user() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    // A time with an offset becomes the wall clock in the zone.
    for date in [LOCAL, "2096-07-01T07:00:00Z", "2096-07-01T16:00:00+09:00"] {
        let id = service.make(&floating(date)).await;
        assert_eq!(shown(&service, &id).await, IN_BERLIN);
    }
    let fixed = service.make(&least()).await;
    assert_eq!(shown(&service, &fixed).await[2..], ["UTC", "UTC"]);
    // Until the preferences name a zone, it is UTC.
    preferences.set(json!({}));
    let id = service.make(&floating(LOCAL)).await;
    assert_eq!(shown(&service, &id).await, ["2096-07-01T09:00:00.000Z", LOCAL, "user", "UTC"]);
}

#[tokio::test]
async fn moves_floating_reminder_when_zone_changes() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    let (floats, fixed) = (
        service.make(&floating(LOCAL)).await,
        service.make(&merged(floating(LOCAL), json!({"timeZone": "Europe/Berlin"}))).await,
    );
    preferences.change_zone("ada", Some("Asia/Tokyo"));
    service.wait_for_zone(&floats, "Asia/Tokyo").await;
    assert_eq!(shown(&service, &floats).await, IN_TOKYO);
    assert_eq!(shown(&service, &fixed).await[0], IN_BERLIN[0]);
    let reminder = service.ada.get(&format!("/reminders/{floats}")).await.body;
    assert_eq!((&reminder["version"], &reminder["nextAt"]), (&json!(2), &json!(IN_TOKYO[0])));
    // Without a zone, it is UTC.
    preferences.change_zone("ada", None);
    service.wait_for_zone(&floats, "UTC").await;
}

#[tokio::test]
async fn changes_between_fixed_and_floating() {
    let (preferences, service) = Preferences::start(in_zone("Asia/Tokyo")).await;
    let body = json!({"date": LOCAL, "timeZone": "Europe/Berlin", "message": "Tablets"});
    let id = service.make(&body).await;
    let path = format!("/reminders/{id}");
    let answer = service.ada.patch(&path, &json!({"timeZone": "user"})).await.expect(200).body;
    assert_eq!(answer["effectiveTimeZone"], "Asia/Tokyo");
    assert_eq!(shown(&service, &id).await, IN_TOKYO);
    // A change of something else asks for no zone.
    let calls = preferences.calls();
    service.ada.patch(&path, &json!({"title": "Blue", "date": LOCAL})).await.expect(200);
    assert_eq!(
        (shown(&service, &id).await, preferences.calls()),
        (IN_TOKYO.map(str::to_owned), calls)
    );
    service.ada.post(&path, &json!({"timeZone": "Europe/Berlin"})).await.expect(200);
    assert_eq!(shown(&service, &id).await[2..], ["Europe/Berlin", "Europe/Berlin"]);
    preferences.change_zone("ada", Some("America/New_York"));
    let floats = service.make(&floating(LOCAL)).await;
    service.wait_for_zone(&floats, "America/New_York").await;
    assert_eq!(shown(&service, &id).await[3], "Europe/Berlin");
}

#[tokio::test]
async fn keeps_snooze_when_only_floating_is_switched_on() {
    let (_preferences, service) = Preferences::start(in_zone("UTC")).await;
    let id = service.make(&least()).await;
    sqlx::query("update reminders set acknowledged = date, acknowledged_at = now()")
        .execute(&service.database.pool().await)
        .await
        .expect("acknowledged");
    let body = json!({"timeZone": "user"});
    let answer = service.ada.patch(&format!("/reminders/{id}"), &body).await.expect(200).body;
    assert_eq!((&answer["timeZone"], &answer["status"]), (&json!("user"), &json!("completed")));
    assert!(answer["acknowledgedAt"].is_string(), "{answer}");
}

#[tokio::test]
async fn previews_and_creates_many_floating_reminders() {
    let (preferences, service) = Preferences::start(in_zone("Asia/Tokyo")).await;
    let answer = service.ada.post("/reminders/preview", &floating(LOCAL)).await.expect(200).body;
    assert_eq!(answer["occurrences"][0]["at"], IN_TOKYO[0]);
    let entries = json!({"reminders": [floating(LOCAL), least(), floating("never")]});
    let answer = service.ada.post("/reminders/bulk", &entries).await.expect(200).body;
    let id = answer["results"][0]["id"].as_str().expect("an id");
    assert_eq!(shown(&service, id).await, IN_TOKYO);
    assert_eq!(answer["results"][2]["status"], 400);
    assert_eq!(preferences.calls(), 2, "once for each request");
}

#[tokio::test]
async fn creates_no_floating_reminder_when_zone_is_unreachable() {
    let (preferences, service) = Preferences::start(json!(500)).await;
    let path = format!("/reminders/{}", service.make(&least()).await);
    let answers = [
        service.ada.post("/reminders", &floating(LOCAL)).await,
        service.ada.post("/reminders/bulk", &json!({"reminders": [floating(LOCAL)]})).await,
        service.ada.post("/reminders/preview", &floating(LOCAL)).await,
        service.ada.patch(&path, &json!({"timeZone": "user"})).await,
        service.ada.post(&path, &json!({"timeZone": "user"})).await,
    ];
    for answer in answers {
        let answer = answer.expect(503);
        assert_eq!(answer.reason(), Some("UPSTREAM_UNAVAILABLE"));
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(service.count("reminders").await, 1);
    // A zone that the time zone database in use does not have.
    preferences.set(in_zone("Mars/Olympus"));
    service.ada.post("/reminders", &floating(LOCAL)).await.expect(422);
}

#[tokio::test]
async fn refuses_floating_reminder_without_preferences() {
    let service = Service::start().await;
    let answer = service.ada.post("/reminders", &floating(LOCAL)).await.expect(422);
    assert_eq!(answer.reason(), Some("INVALID_DUEDATE"));
    assert_eq!(answer.body["error"]["details"][0]["field"], "timeZone");
    let bulk = json!({"reminders": [floating(LOCAL), least()]});
    let results = service.ada.post("/reminders/bulk", &bulk).await.expect(200).body;
    let statuses = [&results["results"][0]["status"], &results["results"][1]["status"]];
    assert_eq!(statuses, [&json!(422), &json!(201)]);
    for word in ["User", "USER", "local", ""] {
        let body = merged(floating(LOCAL), json!({"timeZone": word}));
        service.ada.post("/reminders", &body).await.expect(400);
    }
}

#[tokio::test]
async fn exports_and_imports_floating_reminders() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    let mut body = floating(LOCAL);
    body["recurrence"] = json!({"rrule": "FREQ=DAILY;UNTIL=20960710T070000Z",
        "exdates": ["2096-07-02T07:00:00Z"]});
    let id = service.make(&body).await;
    let file = service.ada.get("/reminders/export.ics").await.expect(200).body;
    let file = file.as_str().expect("a text").to_owned();
    for line in [
        "DTSTART:20960701T090000\r\n",
        "EXDATE:20960702T090000\r\n",
        "RRULE:FREQ=DAILY;UNTIL=20960710T090000\r\n",
        "X-REMINDER-FLOATING:TRUE\r\n",
    ] {
        assert!(file.contains(line), "{line} is not in {file}");
    }
    assert!(!file.contains("VTIMEZONE"), "{file}");

    service.ada.delete(&format!("/reminders/{id}")).await.expect(200);
    preferences.set(in_zone("Asia/Tokyo"));
    // The zone of times without a zone is not that of a floating reminder.
    for query in ["", "?timeZone=America/New_York"] {
        let answer = import(&service, &file, query).await.expect(200).body;
        let list = if query.is_empty() { "created" } else { "unchanged" };
        let id = answer[list][0]["id"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(shown(&service, id).await, IN_TOKYO);
    }
    preferences.set(json!(500));
    import(&service, &file, "?timeZone=America/New_York").await.expect(503);
}

#[tokio::test]
async fn imports_times_without_zone_as_floating() {
    let (preferences, service) = Preferences::start(in_zone("Asia/Tokyo")).await;
    let event = |uid: u8, start: &str| {
        format!("BEGIN:VEVENT\r\nUID:{uid}\r\nSUMMARY:Tablets\r\nDTSTART{start}\r\nEND:VEVENT\r\n")
    };
    let events = [
        event(1, ":20960701T090000"),
        event(2, ";TZID=Europe/Berlin:20960701T090000"),
        event(3, ":20960701T090000Z"),
        event(4, ";VALUE=DATE:20960701"),
    ];
    let file = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n", events.concat());
    let answer = import(&service, &file, "?timeZone=user").await.expect(200).body;
    let mut zones = Vec::new();
    for created in answer["created"].as_array().expect("a list") {
        let [_, _, zone, _] = shown(&service, created["id"].as_str().expect("an id")).await;
        zones.push(zone);
    }
    assert_eq!(zones, ["user", "Europe/Berlin", "UTC", "user"]);
    // The same file after a change of the zone changes nothing.
    preferences.change_zone("ada", Some("Europe/Berlin"));
    preferences.set(in_zone("Europe/Berlin"));
    let id = answer["created"][0]["id"].as_str().expect("an id");
    service.wait_for_zone(id, "Europe/Berlin").await;
    let again = import(&service, &file, "?timeZone=user").await.expect(200).body;
    assert_eq!(again["totals"]["unchanged"], 4, "{again}");

    let service = Service::start().await;
    let answer = import(&service, &file, "?timeZone=user").await.expect(422);
    assert_eq!(answer.body["error"]["details"][0]["field"], "timeZone");
}

async fn import(service: &Service, file: &str, query: &str) -> support::http::Answer {
    let path = format!("/reminders/import{query}");
    service.ada.post_text(&path, "text/calendar", file.to_owned()).await
}
