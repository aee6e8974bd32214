//! `POST /reminders/{id}/pause` and `POST /reminders/{id}/resume`.

use serde_json::{Value, json};
use support::http::Answer;

use crate::service::{Service, in_minutes, least_with};

/// Creates an hourly reminder and returns its path.
async fn hourly(service: &Service) -> String {
    let body = least_with(json!({"recurrence": {"rrule": "FREQ=HOURLY"}}));
    format!("/reminders/{}", service.make(&body).await)
}

/// Number of events in a calendar file.
fn events(file: Answer) -> usize {
    file.expect(200).body.as_str().expect("a text").matches("BEGIN:VEVENT").count()
}

async fn call(service: &Service, path: &str, call: &str) -> Value {
    service.ada.post(&format!("{path}/{call}"), &json!({})).await.expect(200).body
}

#[tokio::test]
async fn shows_nothing_ahead_while_paused() {
    let service = Service::start().await;
    let path = hourly(&service).await;
    let other = service.make(&least_with(json!({"date": in_minutes(90)}))).await;
    let feed = service.ada.post("/calendar/feeds", &json!({})).await.expect(201).body;
    let feed = feed["path"].as_str().expect("a path").to_owned();
    assert_eq!(events(service.anonymous.get(&feed).await), 2);

    let paused = call(&service, &path, "pause").await;

    assert_eq!((&paused["status"], &paused["nextAt"]), (&json!("paused"), &Value::Null));
    assert!(paused["pausedAt"].is_string(), "{paused}");
    let occurrences = service.ada.get(&format!("{path}/occurrences")).await.expect(200).body;
    assert_eq!(occurrences, json!({"occurrences": []}));
    let agenda = service.ada.get("/occurrences").await.expect(200).body["occurrences"].clone();
    assert_eq!(agenda.as_array().map(Vec::len), Some(1), "{agenda}");
    let by_time = service.ada.get("/reminders?sort=nextAt").await.expect(200).body;
    assert_eq!(by_time["reminders"]["items"][0]["id"], json!(other), "without a delivery: last");
    assert_eq!(events(service.anonymous.get(&feed).await), 1);
    assert_eq!(events(service.ada.get("/reminders/export.ics").await), 2, "an export has all");
}

#[tokio::test]
async fn pauses_and_resumes_once() {
    let service = Service::start().await;
    let path = hourly(&service).await;
    let before = service.ada.get(&path).await.expect(200).body;
    assert_eq!(call(&service, &path, "resume").await, before, "it was not paused");
    let paused = call(&service, &path, "pause").await;
    assert_eq!(paused["version"], json!(2));
    assert_eq!(call(&service, &path, "pause").await, paused);
    let resumed = call(&service, &path, "resume").await;
    assert_eq!((&resumed["status"], &resumed["pausedAt"]), (&json!("scheduled"), &Value::Null));
    assert_eq!((&resumed["nextAt"], &resumed["version"]), (&before["nextAt"], &json!(3)));
    assert_eq!(call(&service, &path, "resume").await, resumed);
}

#[tokio::test]
async fn lists_reminders_by_status() {
    let service = Service::start().await;
    let scheduled = service.make(&least_with(json!({}))).await;
    let completed = service.make(&least_with(json!({}))).await;
    service.let_pass(&completed).await;
    let paused = hourly(&service).await;
    call(&service, &paused, "pause").await;
    let paused = paused.trim_start_matches("/reminders/").to_owned();
    for (status, id) in [("scheduled", scheduled), ("completed", completed), ("paused", paused)] {
        for sort in ["", "&sort=nextAt"] {
            let list = format!("/reminders?status={status}{sort}");
            let page = service.ada.get(&list).await.expect(200).body["reminders"].clone();
            assert_eq!(
                (&page["total"], &page["items"][0]["id"]),
                (&json!(1), &json!(id)),
                "{list}"
            );
        }
    }
}

#[tokio::test]
async fn keeps_pause_when_reminder_changes() {
    let service = Service::start().await;
    let path = hourly(&service).await;
    call(&service, &path, "pause").await;
    let change = json!({"date": in_minutes(30), "title": "Tea"});
    let changed = service.ada.patch(&path, &change).await.expect(200).body;
    assert_eq!((&changed["status"], &changed["title"]), (&json!("paused"), &json!("Tea")));
    let resumed = call(&service, &path, "resume").await;
    assert_eq!(resumed["nextAt"], change["date"]);
}

#[tokio::test]
async fn refuses_snooze_while_paused() {
    let service = Service::start().await;
    let path = hourly(&service).await;
    call(&service, &path, "pause").await;
    let snooze = format!("{path}/snooze");
    let refused = service.ada.post(&snooze, &json!({"minutes": 5})).await.expect(409);
    let message = refused.body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("resume"), "{message}");
    for call in ["pause", "resume"] {
        let path = format!("/reminders/unknown/{call}");
        let missing = service.ada.post(&path, &json!({})).await.expect(404);
        assert_eq!(missing.reason(), Some("MISSING_REMINDER"));
    }
}
