//! Daily limit of the e-mail addresses of a user.

use serde_json::json;
use support::http::Client;
use tokio::task::JoinSet;

use crate::service::{Service, least, least_with};

fn at(service: &Service, number: u32) -> Client {
    service.anonymous.as_user("ada", &format!("ada{number}@example.com"))
}

#[tokio::test]
async fn refuses_address_beyond_daily_limit() {
    let service = Service::start().await;
    let email = least_with(json!({"channels": ["email"]}));
    for number in 0..5 {
        at(&service, number).post("/reminders", &email).await.expect(201);
    }
    let sixth = at(&service, 6);
    let refused = sixth.post("/reminders", &email).await.expect(429);
    assert_eq!(
        (refused.reason(), refused.header("retry-after").is_some()),
        (Some("RATE_LIMITED"), true)
    );
    sixth.post("/reminders/bulk", &json!({"reminders": [email]})).await.expect(429);
    let pushed =
        sixth.post("/reminders", &least_with(json!({"channels": ["push"]}))).await.expect(201).id();
    sixth.patch(&format!("/reminders/{pushed}"), &json!({"channels": ["email"]})).await.expect(429);
    sixth.patch(&format!("/reminders/{pushed}"), &json!({"title": "x"})).await.expect(200);
    let made = at(&service, 4).post("/reminders", &email).await.expect(201).id();
    sixth.patch(&format!("/reminders/{made}"), &json!({"title": "x"})).await.expect(429);
    let other = service.anonymous.as_user("bob", "ada6@example.com");
    other.post("/reminders", &email).await.expect(201);
    assert_eq!(service.ada.post("/reminders", &least()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_address_limit_when_requests_race() {
    let service = Service::start().await;
    let email = least_with(json!({"channels": ["email"]}));
    let mut calls = JoinSet::new();
    for number in 0..30 {
        let (client, email) = (at(&service, number), email.clone());
        calls.spawn(async move { client.post("/reminders", &email).await.status });
    }
    let statuses = calls.join_all().await;
    let answered = |status| statuses.iter().filter(|answer| **answer == status).count();
    assert_eq!((answered(201), answered(429)), (5, 25), "{statuses:?}");
}

#[tokio::test]
async fn reads_address_limit_from_variable() {
    let database = Service::start().await.stop().await;
    let service = Service::start_on(database, &[("MAX_EMAIL_ADDRESSES_PER_DAY", "1")]).await;
    service.ready().await;
    let email = least_with(json!({"channels": ["email"]}));
    at(&service, 1).post("/reminders", &email).await.expect(201);
    at(&service, 2).post("/reminders", &email).await.expect(429);
}
