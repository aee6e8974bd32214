//! `POST /reminders` and `GET /reminders/{id}`.

use serde_json::json;

use crate::service::{Service, in_minutes, least, least_with};

#[tokio::test]
async fn applies_defaults_to_missing_fields() {
    let service = Service::start().await;
    let date = in_minutes(60);

    let id = service.make(&json!({"date": date, "message": "Tablets"})).await;

    let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    let expected = json!({
        "id": id,
        "createdAt": reminder["createdAt"],
        "updatedAt": reminder["createdAt"],
        "date": date,
        "localDate": reminder["localDate"],
        "timeZone": "UTC",
        "effectiveTimeZone": "UTC",
        "isRecurring": false,
        "recurrence": null,
        "notifyOffset": 0,
        "notifyOffsets": [0],
        "notifyType": "push",
        "channels": ["push"],
        "title": null,
        "message": "Tablets",
        "url": null,
        "data": {},
        "expiresAfterMinutes": 1440,
        "priority": "normal",
        "locale": null,
        "changedOccurrences": [],
        "status": "scheduled",
        "pausedAt": null,
        "acknowledgedAt": null,
        "snoozedUntil": null,
        "nextAt": date,
        "version": 1
    });
    assert_eq!(reminder, expected);
    assert!(
        reminder["createdAt"]
            .as_str()
            .is_some_and(|at| at.len() == "2026-05-01T08:00:00.000Z".len() && at.ends_with('Z'))
    );
}

#[tokio::test]
async fn accepts_whole_numbers_in_any_form() {
    let service = Service::start().await;
    let numbers = [("notifyOffset", json!(10.0)), ("expiresAfterMinutes", json!(3e1))];
    let body = least_with(json!({"notifyOffset": 10.0, "expiresAfterMinutes": 3e1}));
    let id = service.make(&body).await;
    let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    for (field, number) in numbers {
        assert_eq!(reminder[field].as_f64(), number.as_f64(), "{field}");
        assert!(reminder[field].is_i64(), "{field}: {}", reminder[field]);
    }
}

#[tokio::test]
async fn keeps_all_given_fields() {
    let service = Service::start().await;

    let id = service
        .make(&json!({
            "date": "2126-05-01T10:00:00.5+02:00",
            "timeZone": "Europe/Berlin",
            "isRecurring": false,
            "notifyOffsets": [60, 0, 1440, 60],
            "channels": ["push", "email", "push"],
            "notifyType": "push",
            "title": "Dentist",
            "message": "Take\tthe\nX-ray 🩻",
            "url": "https://example.com/a?b=c",
            "data": {"b": "2\n", "a": ""},
            "expiresAfterMinutes": 30,
            "priority": "high",
            "locale": "pt-BR"
        }))
        .await;

    let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    let expected = json!({
        "id": id,
        "createdAt": reminder["createdAt"],
        "updatedAt": reminder["updatedAt"],
        "date": "2126-05-01T08:00:00.500Z",
        "localDate": "2126-05-01T10:00:00.500",
        "timeZone": "Europe/Berlin",
        "effectiveTimeZone": "Europe/Berlin",
        "isRecurring": false,
        "recurrence": null,
        "notifyOffset": 0,
        "notifyOffsets": [0, 60, 1440],
        "notifyType": "email",
        "channels": ["email", "push"],
        "title": "Dentist",
        "message": "Take\tthe\nX-ray 🩻",
        "url": "https://example.com/a?b=c",
        "data": {"a": "", "b": "2\n"},
        "expiresAfterMinutes": 30,
        "priority": "high",
        "locale": "pt-BR",
        "changedOccurrences": [],
        "status": "scheduled",
        "pausedAt": null,
        "acknowledgedAt": null,
        "snoozedUntil": null,
        "nextAt": "2126-04-30T08:00:00.500Z",
        "version": 1
    });
    assert_eq!(reminder, expected);
}

#[tokio::test]
async fn accepts_body_of_version_1() {
    let service = Service::start().await;
    let body = json!({
        "date": in_minutes(60),
        "notifyOffset": 10,
        "notifyType": "email",
        "isRecurring": false,
        "title": "",
        "message": "Tablets",
        "url": ""
    });

    let id = service.make(&body).await;

    let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    assert_eq!(reminder["date"], body["date"], "the date stays as it was given");
    assert_eq!((&reminder["notifyOffset"], &reminder["notifyType"]), (&json!(10), &json!("email")));
    assert_eq!((&reminder["title"], &reminder["url"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn creates_url_safe_ids_sorted_by_creation() {
    let service = Service::start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(service.make(&least()).await);
    }
    assert!(ids.is_sorted());
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
}

#[tokio::test]
async fn skips_past_deliveries_when_one_is_ahead() {
    let service = Service::start().await;
    let date = in_minutes(60);

    let id =
        service.make(&json!({"date": date, "message": "Tablets", "notifyOffsets": [0, 120]})).await;

    let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    assert_eq!((&reminder["nextAt"], &reminder["notifyOffsets"]), (&json!(date), &json!([0, 120])));
}

#[tokio::test]
async fn hides_reminder_from_other_users() {
    let service = Service::start().await;
    let id = service.make(&least()).await;
    let other = service.anonymous.as_user("bob", "bob@example.com");

    assert_eq!(
        other.get(&format!("/reminders/{id}")).await.expect(404).reason(),
        Some("MISSING_REMINDER")
    );
    assert_eq!(
        service.anonymous.get(&format!("/reminders/{id}")).await.expect(401).reason(),
        Some("UNAUTHENTICATED")
    );
}

#[tokio::test]
async fn answers_404_to_malformed_ids() {
    let service = Service::start().await;
    for id in ["1", "not-an-id", "%00", "%FF", "00000000000000000000000000000000"] {
        let answer = service.ada.get(&format!("/reminders/{id}")).await.expect(404);
        assert_eq!(answer.reason(), Some("MISSING_REMINDER"), "{id}");
    }
}

#[tokio::test]
async fn refuses_email_without_address() {
    let service = Service::start().await;
    let nameless = service.anonymous.as_user("ada", "ada");

    let answer = nameless
        .post("/reminders", &least_with(json!({"channels": ["email", "push"]})))
        .await
        .expect(400);

    assert!(
        answer.body["error"]["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("channels: ")),
        "{}",
        answer.body
    );
    nameless.post("/reminders", &least()).await.expect(201);
}
