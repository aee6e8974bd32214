//! `POST /reminders/bulk`.

use serde_json::{Value, json};

use crate::service::{Service, in_minutes, least, least_with};

#[tokio::test]
async fn creates_valid_entries_of_a_bulk() {
    let service = Service::start().await;
    let entries = json!([
        least(),
        least_with(json!({
            "recurrence": {"rrule": "FREQ=DAILY"},
            "notifyOffsets": [0, 10],
            "data": {"a": "b"}
        })),
        {"date": in_minutes(-5), "message": "late"},
        least_with(json!({"colour": "red"})),
        {"date": in_minutes(5)},
        7,
    ]);
    let results =
        service.ada.post("/reminders/bulk", &json!({"reminders": entries})).await.expect(200).body;
    let results = results["results"].as_array().cloned().expect("results");

    let statuses: Vec<_> =
        results.iter().map(|result| result["status"].as_u64().unwrap_or_default()).collect();
    assert_eq!(statuses, [201, 201, 422, 400, 400, 400]);
    assert_eq!(
        results[4]["error"]["details"],
        json!([{"field": "message", "message": "is required"}])
    );
    assert_eq!(results[2]["error"]["reason"], "INVALID_DUEDATE");
    assert!(
        results[3]["error"]["message"].as_str().unwrap_or_default().contains("colour"),
        "{}",
        results[3]
    );
    assert_eq!(service.count("reminders").await, 2);
    let second = format!("/reminders/{}", results[1]["id"].as_str().expect("an id"));
    let second = service.ada.get(&second).await.expect(200).body;
    assert_eq!(
        (&second["notifyOffsets"], &second["data"], &second["isRecurring"]),
        (&json!([0, 10]), &json!({"a": "b"}), &json!(true))
    );
}

#[tokio::test]
async fn creates_thousand_reminders_once_per_key() {
    let service = Service::start().await;
    let body = Value::Array(vec![least(); 1_000]);
    let ada = service.ada.with_header("Idempotency-Key", "bulk-1");
    let first = ada.post("/reminders/bulk", &body).await.expect(200);
    let again = ada.post("/reminders/bulk", &body).await.expect(200);
    assert_eq!(first.body, again.body);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(service.count("reminders").await, 1_000);
}

#[tokio::test]
async fn refuses_bulk_without_valid_list() {
    let service = Service::start().await;
    for body in [
        json!({}),
        json!({"reminders": []}),
        json!([]),
        json!({"reminders": [least()], "atomic": true}),
        json!(7),
        json!(vec![least(); 1_001]),
    ] {
        assert_eq!(
            service.ada.post("/reminders/bulk", &body).await.expect(400).reason(),
            Some("INVALID_REQUEST")
        );
    }
    assert_eq!(service.count("reminders").await, 0);
}
