//! Calls of operators, with and without their token.

use std::collections::BTreeMap;

use event_service::Config;
use serde_json::json;
use support::http::Client;

use crate::running::{running_service, start};

#[tokio::test(flavor = "multi_thread")]
async fn refuses_operator_calls_without_a_token() {
    // The schema is there before: only `local` brings it up to date at the start.
    let database = running_service().await.stopped().await;
    let service = start(
        database,
        &[("APP_ENV", "production"), ("OPERATOR_TOKEN", "the-new-token,the-old-token")],
    )
    .await;
    let calls = [
        "/events",
        "/events/stream",
        "/timeline/a",
        "/notifications",
        "/stats",
        "/dead-letters",
        "/users/a/export",
    ];
    for path in calls {
        for client in [
            service.client.clone(),
            bearer(&service.client, "the-new-toke"),
            bearer(&service.client, ""),
        ] {
            let answer = client.get(path).await;
            assert_eq!((answer.status, answer.reason()), (401, Some("UNAUTHENTICATED")), "{path}");
        }
        for token in ["the-new-token", "the-old-token"] {
            let streams = path.ends_with("stream");
            assert!(
                streams || bearer(&service.client, token).get(path).await.status != 401,
                "{path}"
            );
        }
    }
    let redrive = "/dead-letters/redrive";
    assert_eq!(service.client.post(redrive, &json!({})).await.status, 401);
    assert_eq!(
        bearer(&service.client, "the-old-token").post(redrive, &json!({})).await.status,
        200
    );
    for path in ["/openapi.json", "/docs"] {
        assert_eq!(service.client.get(path).await.status, 200, "{path}");
    }
    service.stop().await;
}

fn bearer(client: &Client, token: &str) -> Client {
    client.with_header("Authorization", &format!("bearer {token}"))
}

#[test]
fn refuses_a_start_without_operator_token() {
    let names = |app_env: &str| {
        let env = BTreeMap::from([("APP_ENV".to_owned(), app_env.to_owned())]);
        let report = Config::read(&env).expect_err("faults");
        report.faults.iter().any(|fault| fault.name == "OPERATOR_TOKEN")
    };
    assert_eq!(
        ["local", "development", "staging", "production"].map(names),
        [false, true, true, true]
    );
}
