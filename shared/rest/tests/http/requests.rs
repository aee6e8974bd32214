//! Malformed requests.

use axum::http::StatusCode;
use serde_json::json;

use crate::test_api::{IDENTITY, app, call, gateway, request};

#[tokio::test]
async fn names_fault_of_malformed_body() {
    for (body, named) in [
        (r#"{"text":"a","colour":1}"#, "colour"),
        (r#"{"tags":[]}"#, "text"),
        (r#"{"text":"a","tags":[1,-1]}"#, "tags[1]"),
        (r#"{"text":"a""#, "ends too early"),
        (r#"{"text":"a"} x"#, "text after its end"),
        ("", "body: is empty"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
    ] {
        let (status, _, answer) =
            call(app(gateway()), request("POST", "/notes", IDENTITY, body)).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(
            (status, &answer["error"]["reason"]),
            (StatusCode::BAD_REQUEST, &json!("INVALID_REQUEST")),
            "{body}"
        );
        assert!(message.contains(named), "{body}: {message}");
    }
    let deep = format!(r#"{{"text":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    assert_eq!(
        call(app(gateway()), request("POST", "/notes", IDENTITY, &deep)).await.0,
        StatusCode::BAD_REQUEST
    );
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000_000));
    let (status, _, answer) =
        call(app(gateway()), request("POST", "/notes", IDENTITY, &large)).await;
    assert_eq!(
        (status, &answer["error"]["reason"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("PAYLOAD_TOO_LARGE"))
    );
}

#[tokio::test]
async fn refuses_malformed_queries_paths_and_methods() {
    for query in ["?limit=-1", "?limit=x", "", "?limit=1&other=2"] {
        assert_eq!(
            call(app(gateway()), request("GET", &format!("/notes{query}"), &[], "")).await.0,
            StatusCode::BAD_REQUEST,
            "{query}"
        );
    }
    let (status, _, answer) = call(app(gateway()), request("GET", "/nowhere", &[], "")).await;
    assert_eq!((status, &answer["error"]["reason"]), (StatusCode::NOT_FOUND, &json!("NOT_FOUND")));
    assert_eq!(
        call(app(gateway()), request("DELETE", "/notes", &[], "")).await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn refuses_malformed_idempotency_keys() {
    let long = "k".repeat(256);
    for key in [long.as_str(), "", "with space", "k\u{e9}"] {
        let headers = [IDENTITY, &[("Idempotency-Key", key)]].concat();
        let answer =
            call(app(gateway()), request("POST", "/notes", &headers, r#"{"text":"a"}"#)).await;
        assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{key}");
    }
}

#[tokio::test]
async fn names_every_fault_in_the_details() {
    let (_, _, answer) =
        call(app(gateway()), request("POST", "/notes", IDENTITY, r#"{"tags":[-1],"colour":1}"#))
            .await;
    let details = answer["error"]["details"].as_array().cloned().expect("details");
    let fields: Vec<_> =
        details.iter().map(|fault| fault["field"].as_str().unwrap_or_default()).collect();
    assert_eq!(fields, ["colour", "tags[0]", "text"], "{answer}");
    assert_eq!(answer["error"]["message"], "colour: unknown field");
    let (_, _, answer) = call(app(gateway()), request("GET", "/notes?limit=x", &[], "")).await;
    assert_eq!(
        answer["error"]["details"],
        json!([{"field": "limit", "message": "must be a whole number"}])
    );
}
