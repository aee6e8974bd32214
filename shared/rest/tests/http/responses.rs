//! Request ids, errors and metrics of responses.

use axum::http::StatusCode;
use serde_json::json;
use service::http::Reason;

use crate::test_api::{app, call, gateway, request};

#[tokio::test]
async fn keeps_request_id_that_can_be_logged() {
    let (_, sent, _) =
        call(app(gateway()), request("GET", "/who", &[("X-Request-Id", "abc-1")], "")).await;
    assert_eq!(sent["x-request-id"], "abc-1");
    let (_, sent, _) =
        call(app(gateway()), request("GET", "/who", &[("X-Request-Id", "a b<c>")], "")).await;
    assert_ne!(sent["x-request-id"], "a b<c>");
}

#[tokio::test]
async fn hides_internal_errors_and_reports_outages() {
    let (status, _, answer) = call(app(gateway()), request("GET", "/broken", &[], "")).await;
    assert_eq!(
        (status, &answer["error"]["reason"]),
        (StatusCode::INTERNAL_SERVER_ERROR, &json!("UNKNOWN_REASON"))
    );
    assert!(!answer.to_string().contains("hunter2"));
    let (status, sent, answer) = call(app(gateway()), request("GET", "/lost", &[], "")).await;
    assert_eq!(
        (status, &answer["error"]["reason"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("UPSTREAM_UNAVAILABLE"))
    );
    assert!(sent.contains_key("retry-after"));
    assert_eq!(
        call(app(gateway()), request("GET", "/panic", &[], "")).await.0,
        StatusCode::INTERNAL_SERVER_ERROR
    );
}

#[tokio::test]
async fn counts_invented_methods_under_one_label() {
    let metrics = service::telemetry::metrics_handle();
    for number in 0..50 {
        let method = format!("INVENTED{number}");
        let path = format!("/nowhere/{number}");
        assert_eq!(
            call(app(gateway()), request(&method, "/notes", &[], "")).await.0,
            StatusCode::METHOD_NOT_ALLOWED
        );
        assert_eq!(
            call(app(gateway()), request(&method, &path, &[], "")).await.0,
            StatusCode::NOT_FOUND
        );
    }
    let rendered = metrics.render();
    assert!(rendered.contains(r#"method="OTHER""#), "{rendered}");
    assert!(!rendered.contains("INVENTED") && !rendered.contains("/nowhere"), "{rendered}");
}

#[test]
fn maps_every_reason_to_its_status() {
    let expected = [
        (Reason::InvalidRequest, 400, "INVALID_REQUEST"),
        (Reason::PermissionDenied, 403, "PERMISSION_DENIED"),
        (Reason::MissingReminder, 404, "MISSING_REMINDER"),
        (Reason::Conflict, 409, "CONFLICT"),
        (Reason::PreconditionFailed, 412, "PRECONDITION_FAILED"),
        (Reason::InvalidDueDate, 422, "INVALID_DUEDATE"),
        (Reason::InvalidRecurrence, 422, "INVALID_RECURRENCE"),
        (Reason::InvalidToken, 422, "INVALID_TOKEN"),
        (Reason::DeviceNotAssociated, 422, "DEVICE_NOT_ASSOCIATED"),
        (Reason::IdempotencyKeyReused, 422, "IDEMPOTENCY_KEY_REUSED"),
        (Reason::RateLimited, 429, "RATE_LIMITED"),
    ];
    for (reason, status, code) in expected {
        assert_eq!(reason.parts(), (StatusCode::from_u16(status).expect("a status"), code));
    }
}
