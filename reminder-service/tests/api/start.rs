//! Start and shutdown of the service.

use std::time::Duration;

use serde_json::json;
use support::{http::Answer, postgres, wait_until};

use crate::service::{Service, config, least};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn migrates_at_start_in_local_environment() {
    let service =
        Service::start_on(postgres::database("reminders").await, &[("APP_ENV", "local")]).await;
    service.ready().await;
    service.make(&least()).await;
}

#[tokio::test]
async fn waits_for_schema_outside_local_environment() {
    let database = postgres::database("reminders").await;
    let migrating = config(database.url(), &[]);
    let service = Service::start_on(database, &[("APP_ENV", "staging")]).await;

    let why = wait_until(LIMIT, async || match service.admin.get("/readyz").await {
        Answer { status: 503, body, .. } => Some(body),
        _ => None,
    })
    .await;
    assert_eq!(why["failing"]["database"], "the schema is behind: run `migrate`");
    let early = service.ada.post("/reminders", &least()).await.expect(503);
    assert_eq!(
        (early.reason(), early.header("retry-after").is_some()),
        (Some("UPSTREAM_UNAVAILABLE"), true)
    );
    service.admin.get("/healthz").await.expect(200);
    service.anonymous.get("/openapi.json").await.expect(200);

    reminder_service::migrate(&migrating).await.expect("the schema is there");
    service.ready().await;
    service.make(&least()).await;
}

#[tokio::test]
async fn reports_unreachable_database() {
    let database = postgres::database("reminders").await;
    let away = "postgres://nobody@127.0.0.1:1/nowhere";
    let service = Service::start_on(database, &[("DATABASE_URL", away)]).await;
    let failing = service.admin.get("/readyz").await.expect(503).body["failing"].clone();
    assert!(failing["database"].is_string(), "{failing}");
    service.stop().await;
}

#[tokio::test]
async fn publishes_answered_changes_before_exit() {
    let service = Service::start().await;
    for _ in 0..20 {
        service.make(&least()).await;
    }
    let database = service.stop().await;
    let waiting: i64 = sqlx::query_scalar("select count(*) from outbox")
        .fetch_one(&database.pool().await)
        .await
        .expect("a count");
    assert_eq!(waiting, 0);
}

#[tokio::test]
async fn counts_changes() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least()).await);
    service.ada.patch(&path, &json!({"title": "x"})).await.expect(200);
    service.ada.delete(&path).await.expect(200);
    let metrics = service.admin.get("/metrics").await.expect(200).body;
    for name in ["reminders_created_total", "reminders_updated_total", "reminders_deleted_total"] {
        assert!(metrics.as_str().is_some_and(|text| text.contains(name)), "{name}");
    }
}
