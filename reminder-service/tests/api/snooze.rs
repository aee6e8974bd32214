//! `POST /reminders/{id}/snooze` and `POST /reminders/{id}/acknowledge`.

use serde_json::json;
use support::http::Answer;

use crate::service::{Service, in_minutes, least_with, wire};

/// Path of a reminder whose first delivery is in the past.
async fn half_delivered(service: &Service) -> String {
    let id =
        service.make(&least_with(json!({"date": in_minutes(60), "notifyOffsets": [0, 30]}))).await;
    let sql = "update reminders set date = date - interval '45 minutes',
            last_at = last_at - interval '45 minutes',
            created_at = created_at - interval '45 minutes'
        where id = $1::text::uuid";
    sqlx::query(sql).bind(&id).execute(&service.database.pool().await).await.expect("it is moved");
    format!("/reminders/{id}")
}

#[tokio::test]
async fn replaces_snooze_by_another() {
    let service = Service::start().await;
    let path = half_delivered(&service).await;

    let first =
        service.ada.post(&format!("{path}/snooze"), &json!({"minutes": 5})).await.expect(200).body;
    let until = in_minutes(10);
    let second = service
        .ada
        .post(&format!("{path}/snooze"), &json!({"until": until}))
        .await
        .expect(200)
        .body;

    assert!(first["nextAt"].as_str() < second["nextAt"].as_str(), "{first} {second}");
    assert_eq!((&second["nextAt"], &second["version"]), (&json!(until), &json!(3)));
    assert_eq!((&second["snoozedUntil"], &second["acknowledgedAt"]), (&json!(until), &json!(null)));
    let shown = service.ada.get(&format!("{path}/occurrences")).await.expect(200).body;
    assert_eq!(
        shown["occurrences"][0]["deliveries"],
        json!([{"notifyOffset": null, "deliverAt": until}])
    );
}

#[tokio::test]
async fn cancels_deliveries_of_acknowledged_occurrence() {
    let service = Service::start().await;
    let path = half_delivered(&service).await;
    assert_eq!(service.ada.get(&path).await.expect(200).body["status"], "scheduled");

    let done = service.ada.post(&format!("{path}/acknowledge"), &json!({})).await.expect(200).body;

    assert_eq!((&done["status"], &done["nextAt"]), (&json!("completed"), &json!(null)));
    assert!(done["acknowledgedAt"].is_string() && done["snoozedUntil"].is_null(), "{done}");
    assert_eq!(service.ada.get(&path).await.expect(200).body, done);
    let shown = service.ada.get(&format!("{path}/occurrences")).await.expect(200).body;
    assert_eq!(shown, json!({"occurrences": []}));
}

#[tokio::test]
async fn refuses_snooze_before_first_delivery() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least_with(json!({}))).await);
    for (call, body) in [("snooze", json!({"minutes": 5})), ("acknowledge", json!({}))] {
        let answer = service.ada.post(&format!("{path}/{call}"), &body).await.expect(409);
        assert_eq!(answer.reason(), Some("CONFLICT"));
        let other = service.anonymous.as_user("bob", "bob@example.com");
        assert_eq!(
            other.post(&format!("{path}/{call}"), &body).await.expect(404).reason(),
            Some("MISSING_REMINDER")
        );
    }
}

#[tokio::test]
async fn refuses_snooze_of_delivery_before_schedule() {
    let service = Service::start().await;
    let daily = json!({"rrule": "FREQ=DAILY"});
    let began = wire(chrono::Utc::now() - chrono::TimeDelta::hours(26));
    let series = service.make(&least_with(json!({"date": began, "recurrence": daily}))).await;
    let partly =
        service.make(&least_with(json!({"date": in_minutes(30), "notifyOffsets": [0, 60]}))).await;
    let moved = service.make(&least_with(json!({}))).await;
    let change = json!({"date": began, "recurrence": daily});
    service.ada.patch(&format!("/reminders/{moved}"), &change).await.expect(200);
    for id in [series, partly, moved] {
        for (call, body) in [("snooze", json!({"minutes": 5})), ("acknowledge", json!({}))] {
            let answer =
                service.ada.post(&format!("/reminders/{id}/{call}"), &body).await.expect(409);
            assert_eq!(answer.reason(), Some("CONFLICT"), "{call}");
        }
    }
}

#[tokio::test]
async fn refuses_snooze_without_one_future_time() {
    let service = Service::start().await;
    let path = half_delivered(&service).await;
    let snooze =
        async |body| -> Answer { service.ada.post(&format!("{path}/snooze"), &body).await };
    for body in [
        json!({}),
        json!({"minutes": 0}),
        json!({"minutes": 5, "until": in_minutes(5)}),
        json!({"until": "soon"}),
        json!({"hours": 1}),
    ] {
        assert_eq!(
            snooze(body.clone()).await.expect(400).reason(),
            Some("INVALID_REQUEST"),
            "{body}"
        );
    }
    for until in [in_minutes(-1), "2999-01-01T00:00:00Z".to_owned()] {
        assert_eq!(
            snooze(json!({"until": until})).await.expect(422).reason(),
            Some("INVALID_DUEDATE")
        );
    }
}

#[tokio::test]
async fn resets_snooze_when_schedule_changes() {
    let service = Service::start().await;
    let path = half_delivered(&service).await;
    service.ada.post(&format!("{path}/acknowledge"), &json!({})).await.expect(200);
    let renamed = service.ada.patch(&path, &json!({"title": "Tablets"})).await.expect(200).body;
    assert_eq!(renamed["status"], "completed");
    let date = wire(chrono::Utc::now() + chrono::TimeDelta::hours(2));
    let moved = service.ada.patch(&path, &json!({"date": date})).await.expect(200).body;
    assert_eq!(moved["status"], "scheduled");
}
