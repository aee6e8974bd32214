//! `PATCH /reminders/{id}/occurrences/{at}`.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::service::{Service, least_with, wire};

/// Creates a daily reminder of nine o'clock in Berlin, and returns its path and its first two
/// occurrences.
async fn daily(service: &Service) -> (String, [String; 2]) {
    let body = least_with(json!({
        "date": "2096-05-01T09:00:00",
        "timeZone": "Europe/Berlin",
        "recurrence": {"rrule": "FREQ=DAILY"},
    }));
    let path = format!("/reminders/{}", service.make(&body).await);
    let first: DateTime<Utc> = "2096-05-01T07:00:00Z".parse().expect("a time");
    (path, [first, first + TimeDelta::days(1)].map(wire))
}

/// First occurrences from a time on.
async fn occurrences(service: &Service, path: &str) -> Vec<Value> {
    let answer = service.ada.get(&format!("{path}/occurrences?limit=2")).await.expect(200);
    answer.body["occurrences"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn skips_and_restores_occurrence() {
    let service = Service::start().await;
    let (path, [first, second]) = daily(&service).await;
    let named = format!("{path}/occurrences/{first}");

    for _ in 0..2 {
        let answer = service.ada.patch(&named, &json!({"skip": true})).await.expect(200);
        assert_eq!(answer.body["recurrence"]["exdates"], json!(["2096-05-01T09:00:00"]));
        assert_eq!(answer.body["nextAt"], json!(second));
        assert_eq!(answer.header("etag"), Some(format!("\"{}\"", answer.body["version"]).as_str()));
    }
    assert_eq!(occurrences(&service, &path).await[0]["at"], json!(second));
    let agenda = service.ada.get("/occurrences?limit=1").await.expect(200).body;
    assert_eq!(agenda["occurrences"][0]["at"], json!(second));

    let restored = service.ada.patch(&named, &json!({"skip": false})).await.expect(200).body;
    assert_eq!(restored["recurrence"]["exdates"], json!([]));
    assert_eq!(occurrences(&service, &path).await[0]["at"], json!(first));
}

#[tokio::test]
async fn finds_occurrence_by_any_form_of_time() {
    let service = Service::start().await;
    let (path, _) = daily(&service).await;
    for (name, skip) in [
        ("2096-05-01T07:00:00Z", true),
        ("2096-05-01T09:00:00%2B02:00", false),
        ("2096-05-01T09:00:00", true),
        ("2096-05-01T09:00", false),
    ] {
        let change = json!({"skip": skip});
        let answer = service.ada.patch(&format!("{path}/occurrences/{name}"), &change).await;
        let exdates = answer.expect(200).body["recurrence"]["exdates"].clone();
        assert_eq!(exdates.as_array().expect("a list").len(), usize::from(skip), "{name}");
    }
}

#[tokio::test]
async fn refuses_time_without_occurrence_ahead() {
    let service = Service::start().await;
    let (path, [first, _]) = daily(&service).await;
    let skip = json!({"skip": true});
    let at = |path: &str, at: &str| format!("{path}/occurrences/{at}");
    let began = wire(DateTime::from_timestamp_secs(Utc::now().timestamp() - 90).expect("a time"));
    let rule = json!({"rrule": "FREQ=HOURLY"});
    let begun = service.make(&least_with(json!({"date": began, "recurrence": rule}))).await;
    let single = format!("/reminders/{}", service.make(&least_with(json!({}))).await);
    for (path, status, reason) in [
        (at(&path, "2096-05-01T07:00:01Z"), 404, "NOT_FOUND"),
        (at(&path, "2096-04-30T07:00:00Z"), 404, "NOT_FOUND"),
        (at(&format!("/reminders/{begun}"), &began), 409, "CONFLICT"),
        (at(&single, &first), 409, "CONFLICT"),
        (at("/reminders/unknown", &first), 404, "MISSING_REMINDER"),
        (at(&path, "tomorrow"), 400, "INVALID_REQUEST"),
    ] {
        let answer = service.ada.patch(&path, &skip).await.expect(status);
        assert_eq!(answer.reason(), Some(reason), "{path}");
    }
    let bob = service.anonymous.as_user("bob", "bob@example.com");
    let other = bob.patch(&at(&path, &first), &skip).await.expect(404);
    assert_eq!(other.reason(), Some("MISSING_REMINDER"));
}

#[tokio::test]
async fn changes_texts_of_one_occurrence() {
    let service = Service::start().await;
    let (path, [first, second]) = daily(&service).await;
    let named = |at: &str| format!("{path}/occurrences/{at}");
    let change = json!({"title": "Half", "url": "https://example.com/", "data": {"a": "b"}});

    let changed = service.ada.patch(&named(&first), &change).await.expect(200).body;

    assert_eq!((&changed["title"], &changed["message"]), (&Value::Null, &json!("Tablets")));
    let expected = json!([{
        "at": first, "title": "Half", "message": "Tablets", "url": "https://example.com/",
        "data": {"a": "b"},
    }]);
    assert_eq!(changed["changedOccurrences"], expected);
    let agenda = service.ada.get("/occurrences?limit=2").await.expect(200).body;
    let title = |place: usize| agenda["occurrences"][place]["title"].clone();
    assert_eq!((title(0), title(1)), (json!("Half"), Value::Null));

    let title = json!({"title": "Tea"});
    let all = service.ada.patch(&path, &title).await.expect(200).body;
    assert_eq!(all["changedOccurrences"], expected, "it keeps its texts");
    service.ada.patch(&named(&second), &json!({"message": "Two"})).await.expect(200);
    let back = json!({"title": "Tea", "url": null, "data": null});
    let left = service.ada.patch(&named(&first), &back).await.expect(200).body;
    let left = left["changedOccurrences"].as_array().expect("a list").clone();
    assert_eq!((left.len(), &left[0]["title"]), (1, &json!("Tea")), "the second one only");
    service.ada.patch(&named(&second), &json!({"skip": true})).await.expect(200);
    let refused = service.ada.patch(&named(&second), &title).await.expect(409);
    assert_eq!(refused.reason(), Some("CONFLICT"));
    let restored = service.ada.patch(&named(&second), &json!({"skip": false})).await.expect(200);
    assert_eq!(restored.body["changedOccurrences"], json!([]));
}

#[tokio::test]
async fn keeps_texts_when_zone_changes() {
    let service = Service::start().await;
    let (path, [first, _]) = daily(&service).await;
    let named = format!("{path}/occurrences/{first}");
    service.ada.patch(&named, &json!({"title": "Half"})).await.expect(200);
    let zone = json!({"timeZone": "America/New_York"});
    let moved = service.ada.patch(&path, &zone).await.expect(200).body;
    assert_eq!(moved["changedOccurrences"][0]["at"], "2096-05-01T13:00:00.000Z");
}

#[tokio::test]
async fn refuses_texts_of_too_many_occurrences() {
    let service = Service::start().await;
    let (path, [first, _]) = daily(&service).await;
    let first: DateTime<Utc> = first.parse().expect("a time");
    for day in 0..=20 {
        let named = format!("{path}/occurrences/{}", wire(first + TimeDelta::days(day)));
        let answer = service.ada.patch(&named, &json!({"message": "Half"})).await;
        answer.expect(if day < 20 { 200 } else { 409 });
    }
    // A new rule keeps the texts of the occurrences that it has.
    let hours = json!({"recurrence": {"rrule": "FREQ=YEARLY"}});
    let changed = service.ada.patch(&path, &hours).await.expect(200).body;
    assert_eq!(changed["changedOccurrences"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn names_faults_of_occurrence_change() {
    let service = Service::start().await;
    let (path, [first, _]) = daily(&service).await;
    for (body, field) in [
        (json!({}), "body"),
        (json!({"skip": null}), "skip"),
        (json!({"skip": "yes"}), "skip"),
        (json!({"skip": true, "shift": 5}), "shift"),
        (json!({"skip": true, "title": "Tea"}), "skip"),
        (json!({"message": ""}), "message"),
        (json!({"url": "ftp://example.com"}), "url"),
    ] {
        let named = format!("{path}/occurrences/{first}");
        let answer = service.ada.patch(&named, &body).await.expect(400);
        assert_eq!(answer.body["error"]["details"][0]["field"], field, "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn splits_series_into_two_reminders() {
    let service = Service::start().await;
    let (path, [_, second]) = daily(&service).await;
    let split = format!("{path}/occurrences/{second}?scope=following");

    let change = json!({"date": "2096-05-02T10:00:00", "message": "Half"});
    let answer = service.ada.patch(&split, &change).await.expect(200).body;

    assert_eq!(answer["recurrence"]["rrule"], "FREQ=DAILY;UNTIL=20960502T065959Z");
    let created = &answer["created"];
    assert_eq!((&created["localDate"], &created["version"]), (&change["date"], &json!(1)));
    let id = created["id"].as_str().expect("an id");
    let read = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    assert_eq!(&read, created);
    assert_eq!((&answer["message"], &read["message"]), (&json!("Tablets"), &json!("Half")));
    let repeated = service.ada.patch(&split, &change).await.expect(404);
    assert_eq!(repeated.reason(), Some("NOT_FOUND"));
    let next = wire("2096-05-03T08:00:00Z".parse().expect("a time"));
    let end = format!("/reminders/{id}/occurrences/{next}?scope=following");
    let ended = service.ada.patch(&end, &json!({"skip": true})).await.expect(200).body;
    assert_eq!((&ended["created"], &ended["status"]), (&Value::Null, &json!("scheduled")));
    assert_eq!(occurrences(&service, &format!("/reminders/{id}")).await.len(), 1);
}

#[tokio::test]
async fn creates_nothing_when_split_is_refused() {
    let service = Service::start().await;
    let (path, [first, second]) = daily(&service).await;
    let before = service.ada.get(&path).await.expect(200).body;
    for (at, scope, body, status) in [
        (&first, "following", json!({"message": "Half"}), 409),
        (&second, "following", json!({"skip": false}), 400),
        (&second, "all", json!({"skip": true}), 400),
        (&second, "following", json!({"date": "2020-01-01T00:00:00Z"}), 422),
    ] {
        let split = format!("{path}/occurrences/{at}?scope={scope}");
        service.ada.patch(&split, &body).await.expect(status);
    }
    service.ada.post(&format!("{path}/pause"), &json!({})).await.expect(200);
    let split = format!("{path}/occurrences/{second}?scope=following");
    service.ada.patch(&split, &json!({"message": "Half"})).await.expect(409);
    service.ada.post(&format!("{path}/resume"), &json!({})).await.expect(200);
    let after = service.ada.get(&path).await.expect(200).body;
    assert_eq!(before["recurrence"], after["recurrence"]);
    assert_eq!(service.count("reminders").await, 1);
}
