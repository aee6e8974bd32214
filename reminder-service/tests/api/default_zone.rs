//! Local times without a zone, which are in the zone of the caller's preferences.

use serde_json::{Value, json};

use crate::{
    preferences::{Preferences, in_zone},
    service::{Service, least},
};

fn at(date: &str) -> Value {
    json!({"date": date, "message": "Tablets"})
}

async fn shown(service: &Service, id: &str) -> [String; 3] {
    let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    ["date", "localDate", "timeZone"]
        .map(|field| reminder[field].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn creates_reminder_in_zone_of_preferences() {
    let (preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    let id = service.make(&at("2096-07-01T09:00:00")).await;
    let expected = ["2096-07-01T07:00:00.000Z", "2096-07-01T09:00:00", "Europe/Berlin"];
    assert_eq!(shown(&service, &id).await, expected);

    // The next reminder is in the new zone at once, and the first one stays.
    preferences.set(in_zone("Asia/Tokyo"));
    let moved = service.make(&at("2096-07-01T09:00:00")).await;
    let in_tokyo = ["2096-07-01T00:00:00.000Z", "2096-07-01T09:00:00", "Asia/Tokyo"];
    assert_eq!(shown(&service, &moved).await, in_tokyo);
    assert_eq!(shown(&service, &id).await, expected);
}

#[tokio::test]
async fn follows_rule_in_zone_of_preferences() {
    let (_preferences, service) = Preferences::start(in_zone("Europe/Berlin")).await;
    let mut body = at("2096-03-24T09:00:00");
    body["recurrence"] = json!({"rrule": "FREQ=DAILY;COUNT=2"});
    let answer = service.ada.post("/reminders/preview", &body).await.expect(200).body;
    let found = answer["occurrences"].as_array().expect("a list").iter();
    let found: Vec<_> = found.map(|occurrence| &occurrence["at"]).collect();
    assert_eq!(found, ["2096-03-24T08:00:00.000Z", "2096-03-25T07:00:00.000Z"]);
}

#[tokio::test]
async fn takes_zone_of_quiet_hours_when_no_other() {
    let quiet = |zone| json!({"quietHours": {"start": "22:00", "end": "07:00", "timeZone": zone}});
    let (preferences, service) = Preferences::start(quiet("Asia/Tokyo")).await;
    let id = service.make(&at("2096-07-01T09:00:00")).await;
    assert_eq!(shown(&service, &id).await[2], "Asia/Tokyo");
    preferences.set(quiet("UTC"));
    service.ada.post("/reminders", &at("2096-07-01T09:00:00")).await.expect(422);
}

#[tokio::test]
async fn refuses_local_time_when_preferences_name_no_zone() {
    let (preferences, service) = Preferences::start(json!({"quietHours": null})).await;
    for zone in [json!({}), in_zone("Mars/Olympus")] {
        preferences.set(zone);
        for path in ["/reminders", "/reminders/preview"] {
            let answer = service.ada.post(path, &at("2096-07-01T09:00:00")).await.expect(422);
            assert_eq!(answer.reason(), Some("INVALID_DUEDATE"), "{}", answer.body);
            assert_eq!(answer.body["error"]["details"][0]["field"], "date");
        }
    }
}

#[tokio::test]
async fn creates_nothing_when_preferences_are_unreachable() {
    let (preferences, service) = Preferences::start(json!(500)).await;
    let local = at("2096-07-01T09:00:00");
    let bulk = json!({"reminders": [local, least()]});
    for (status, reason) in [(503, "UPSTREAM_UNAVAILABLE"), (429, "RATE_LIMITED")] {
        preferences.set(json!(status));
        for (path, body) in
            [("/reminders", &local), ("/reminders/preview", &local), ("/reminders/bulk", &bulk)]
        {
            let answer = service.ada.post(path, body).await.expect(status);
            assert_eq!(answer.reason(), Some(reason));
            assert!(answer.header("retry-after").is_some(), "{path}");
        }
        import(&service, FLOATING, "").await.expect(status);
    }
    assert_eq!(service.count("reminders").await, 0);
}

#[tokio::test]
async fn creates_nothing_when_preferences_are_silent() {
    let (_preferences, service) = Preferences::start(Value::Null).await;
    let answer = service.ada.post("/reminders", &at("2096-07-01T09:00:00")).await.expect(503);
    assert_eq!(answer.reason(), Some("UPSTREAM_UNAVAILABLE"));
    assert_eq!(service.count("reminders").await, 0);
}

#[tokio::test]
async fn refuses_large_preferences() {
    let mut large = in_zone("Asia/Tokyo");
    large["locale"] = json!("x".repeat(65 * 1024));
    let (_preferences, service) = Preferences::start(large).await;
    service.ada.post("/reminders", &at("2096-07-01T09:00:00")).await.expect(503);
}

#[tokio::test]
async fn asks_for_no_preferences_when_zone_is_given() {
    let (preferences, service) = Preferences::start(json!(500)).await;
    let mut local = at("2096-07-01T09:00:00");
    local["timeZone"] = json!("Asia/Tokyo");
    for body in [&local, &at("2096-07-01T09:00:00Z"), &at("2096-07-01T09:00:00+02:00")] {
        service.ada.post("/reminders", body).await.expect(201);
        service.ada.post("/reminders/preview", body).await.expect(200);
    }
    service.ada.post("/reminders/bulk", &json!({"reminders": [local]})).await.expect(200);
    import(&service, FLOATING, "?timeZone=Asia/Tokyo").await.expect(200);
    let named = FLOATING.replace("DTSTART:", "DTSTART;TZID=Asia/Tokyo:");
    import(&service, &named, "").await.expect(200);
    let calendar = FLOATING.replace("VERSION", "X-WR-TIMEZONE:Asia/Tokyo\r\nVERSION");
    import(&service, &calendar, "").await.expect(200);
    assert_eq!(preferences.calls(), 0);
}

#[tokio::test]
async fn asks_once_for_all_entries_of_a_request() {
    let (preferences, service) = Preferences::start(in_zone("Asia/Tokyo")).await;
    let entries = json!({"reminders": [
        at("2096-07-01T09:00:00"), at("2096-07-01T09:00:00Z"), at("2096-07-02T09:00"), at("never"),
    ]});
    let answer = service.ada.post("/reminders/bulk", &entries).await.expect(200).body;
    let results = answer["results"].as_array().expect("a list");
    let statuses: Vec<_> = results.iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [201, 201, 201, 400]);
    let mut zones = Vec::new();
    for result in &results[..3] {
        zones.push(shown(&service, result["id"].as_str().expect("an id")).await[2].clone());
    }
    assert_eq!(zones, ["Asia/Tokyo", "UTC", "Asia/Tokyo"]);
    assert_eq!(preferences.calls(), 1);
}

const FLOATING: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\n\
    SUMMARY:Tablets\r\nDTSTART:20960701T090000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

async fn import(service: &Service, file: &str, query: &str) -> support::http::Answer {
    let path = format!("/reminders/import{query}");
    service.ada.post_text(&path, "text/calendar", file.to_owned()).await
}

#[tokio::test]
async fn imports_floating_times_in_zone_of_preferences() {
    let (preferences, service) = Preferences::start(in_zone("Asia/Tokyo")).await;
    let answer = import(&service, FLOATING, "").await.expect(200).body;
    let id = answer["created"][0]["id"].as_str().expect("an id").to_owned();
    let expected = ["2096-07-01T00:00:00.000Z", "2096-07-01T09:00:00", "Asia/Tokyo"];
    assert_eq!(shown(&service, &id).await, expected);

    preferences.set(json!({}));
    let answer = import(&service, FLOATING, "").await.expect(200).body;
    let id = answer["updated"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(shown(&service, &id).await[2], "UTC");
}
