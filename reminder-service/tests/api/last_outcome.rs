//! `lastOutcome` of reminders, which notification-service knows.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use contract::{ITEM_REMINDER, occurrence_id};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::service::{Service, in_minutes, least, least_with};

/// Answer of the stand-in for notification-service.
#[derive(Clone, Debug)]
enum Ledger {
    /// The outcomes that it knows.
    Knows(Vec<Value>),
    /// A status without an outcome.
    Refuses(u16),
    /// No answer.
    Hangs,
}

/// Stand-in for notification-service, and a service that knows its address.
struct Suite {
    service: Service,
    ledger: Arc<Mutex<Ledger>>,
    /// The occurrences of each call.
    calls: Calls,
}

type Calls = Arc<Mutex<Vec<Vec<String>>>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    occurrence_ids: String,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("not poisoned")
}

async fn outcomes(
    State((ledger, calls)): State<(Arc<Mutex<Ledger>>, Calls)>,
    headers: HeaderMap,
    Query(Asked { occurrence_ids }): Query<Asked>,
) -> Response {
    assert!(headers.contains_key("x-authenticated-userid"), "{headers:?}");
    let ids = occurrence_ids.split(',').map(str::to_owned).collect();
    locked(&calls).push(ids);
    let ledger = locked(&ledger).clone();
    match ledger {
        Ledger::Knows(outcomes) => Json(json!({"outcomes": outcomes})).into_response(),
        Ledger::Refuses(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Ledger::Hangs => std::future::pending().await,
    }
}

impl Suite {
    async fn start(ledger: Ledger) -> Self {
        let (ledger, calls) = (Arc::new(Mutex::new(ledger)), Calls::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let routes = Router::new()
            .route("/notifications/outcomes", get(outcomes))
            .with_state((Arc::clone(&ledger), Arc::clone(&calls)));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let database = Service::start().await.stop().await;
        let service = Service::start_on(database, &[("NOTIFICATION_SERVICE_URL", &url)]).await;
        service.ready().await;
        Self { service, ledger, calls }
    }

    fn set(&self, ledger: Ledger) {
        *locked(&self.ledger) = ledger;
    }

    fn calls(&self) -> usize {
        locked(&self.calls).len()
    }

    /// Creates a reminder, and moves its creation and its date two hours back.
    async fn make_due(&self, more: Value) -> Due {
        let id = self.service.make(&least_with(more)).await;
        let sql = "update reminders set date = date - interval '2 hours',
                last_at = last_at - interval '2 hours', created_at = created_at - interval '2 hours'
            where id = $1::text::uuid returning date";
        let pool = self.service.database.pool().await;
        let at: DateTime<Utc> =
            sqlx::query_scalar(sql).bind(&id).fetch_one(&pool).await.expect("moved");
        let occurrence = occurrence_id(ITEM_REMINDER, &id, at).simple().to_string();
        Due { path: format!("/reminders/{id}"), at: crate::service::wire(at), occurrence }
    }

    async fn read(&self, path: &str) -> Value {
        self.service.ada.get(path).await.expect(200).body
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = self.service.admin.get("/metrics").await.expect(200).body;
        let text = text.as_str().unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0.0, |value| value.trim().parse().expect("a number"))
    }
}

/// A reminder that was due.
struct Due {
    path: String,
    at: String,
    occurrence: String,
}

impl Due {
    fn outcome(&self, state: &str, reason: Value) -> Value {
        json!({
            "occurrenceId": self.occurrence, "state": state, "reason": reason,
            "finishedAt": "2026-04-30T08:00:00.187Z"
        })
    }
}

#[tokio::test]
async fn shows_outcome_of_latest_delivery() {
    let suite = Suite::start(Ledger::Knows(Vec::new())).await;
    let sent = suite.make_due(json!({"title": "sent"})).await;
    let failed = suite.make_due(json!({"title": "failed"})).await;
    suite.service.make(&least_with(json!({"title": "ahead"}))).await;
    let outcomes =
        vec![failed.outcome("failed", json!("DEVICE_GONE")), sent.outcome("sent", Value::Null)];
    suite.set(Ledger::Knows(outcomes));

    let list = suite.read("/reminders").await["reminders"]["items"].clone();

    let expected = |due: &Due, state: &str, reason: Value| {
        json!({
            "at": due.at, "state": state, "reason": reason,
            "finishedAt": "2026-04-30T08:00:00.187Z"
        })
    };
    let as_failed = expected(&failed, "failed", json!("DEVICE_GONE"));
    assert_eq!(list[0].get("lastOutcome"), Some(&Value::Null), "nothing was due");
    assert_eq!(list[1]["lastOutcome"], as_failed);
    assert_eq!(list[2]["lastOutcome"], expected(&sent, "sent", Value::Null));
    let asked = vec![vec![failed.occurrence.clone(), sent.occurrence.clone()]];
    assert_eq!(*locked(&suite.calls), asked, "one call for the page");
    assert_eq!(suite.read(&failed.path).await, list[1]);
}

#[tokio::test]
async fn asks_nothing_when_nothing_was_due() {
    let suite = Suite::start(Ledger::Hangs).await;
    let id = suite.service.make(&least()).await;
    let daily = json!({"date": "1965-05-06T08:00:00Z", "recurrence": {"rrule": "FREQ=YEARLY"}});
    suite.service.make(&least_with(daily)).await;
    for path in ["/reminders", "/reminders?sort=nextAt", &format!("/reminders/{id}")] {
        let body = suite.read(path).await;
        let reminder = body.pointer("/reminders/items/0").unwrap_or(&body);
        assert_eq!(reminder.get("lastOutcome"), Some(&Value::Null), "{path} {body}");
    }
    assert_eq!(suite.calls(), 0);
}

#[tokio::test]
async fn shows_unknown_delivery_until_it_expires() {
    let suite = Suite::start(Ledger::Knows(Vec::new())).await;
    for (expires_after, state) in [(1_440, json!("pending")), (1, Value::Null)] {
        let due = suite.make_due(json!({"expiresAfterMinutes": expires_after})).await;
        let outcome = suite.read(&due.path).await["lastOutcome"].clone();
        let expected = json!({"at": due.at, "state": state, "reason": null, "finishedAt": null});
        assert_eq!(outcome, expected, "{expires_after}");
    }
}

#[tokio::test]
async fn shows_outcome_in_answers_to_changes() {
    let suite = Suite::start(Ledger::Knows(Vec::new())).await;
    let due = suite.make_due(json!({})).await;
    suite.set(Ledger::Knows(vec![due.outcome("sent", Value::Null)]));
    let ada = &suite.service.ada;
    let changed = ada.patch(&due.path, &json!({"title": "Tea"})).await.expect(200).body;
    assert_eq!(changed["lastOutcome"]["state"], "sent", "{changed}");
    for action in ["acknowledge", "pause", "resume"] {
        let keyed = ada.with_header("Idempotency-Key", action);
        let post = async || {
            keyed.post(&format!("{}/{action}", due.path), &json!({})).await.expect(200).body
        };
        // A pause forgets nothing; after it, nothing was due yet.
        let expected = if action == "resume" { Value::Null } else { json!("sent") };
        let answer = post().await;
        assert_eq!(answer["lastOutcome"]["state"], expected, "{action} {answer}");
        assert_eq!(post().await.get("lastOutcome"), None, "{action} repeated");
    }
    let moved = ada.patch(&due.path, &json!({"date": in_minutes(90)})).await.expect(200).body;
    assert_eq!(moved.get("lastOutcome"), Some(&Value::Null), "of the new schedule nothing was due");
}

#[tokio::test]
async fn asks_once_for_largest_page() {
    let suite = Suite::start(Ledger::Knows(Vec::new())).await;
    let bodies = vec![least(); 100];
    let ada = &suite.service.ada;
    ada.post("/reminders/bulk", &json!({"reminders": bodies})).await.expect(200);
    let sql = "update reminders set date = date - interval '2 hours',
        last_at = last_at - interval '2 hours', created_at = created_at - interval '2 hours'";
    sqlx::query(sql).execute(&suite.service.database.pool().await).await.expect("moved");

    let list = suite.read("/reminders?limit=100").await["reminders"]["items"].clone();

    let items = list.as_array().expect("a list");
    assert!(items.iter().all(|item| item["lastOutcome"]["state"] == "pending"), "{list}");
    let calls: Vec<_> = locked(&suite.calls).iter().map(Vec::len).collect();
    assert_eq!(calls, [100]);
}

#[tokio::test]
async fn leaves_outcome_out_without_address() {
    let service = Service::start().await;
    let id = service.make(&least()).await;
    service.let_pass(&id).await;
    let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    assert_eq!(reminder.get("lastOutcome"), None);
}

#[tokio::test]
async fn leaves_outcome_out_when_it_is_refused() {
    for status in [401, 404, 429, 500, 503] {
        let suite = Suite::start(Ledger::Refuses(status)).await;
        let due = suite.make_due(json!({})).await;
        assert_eq!(suite.read(&due.path).await.get("lastOutcome"), None, "{status}");
        assert_eq!(suite.calls(), 1, "{status}");
    }
}

#[tokio::test]
async fn reads_reminders_while_notification_service_hangs() {
    let suite = Suite::start(Ledger::Hangs).await;
    let due = suite.make_due(json!({})).await;
    for _ in 0..30 {
        let list = suite.read("/reminders").await["reminders"]["items"].clone();
        assert_eq!(list[0].get("lastOutcome"), None);
    }
    // Without a pause after a failure each of the 30 pages would wait for a call.
    assert!(suite.calls() < 15, "{} calls", suite.calls());
    assert!(suite.metric("reminders_outcome_requests_failed_total").await >= 1.0);

    suite.set(Ledger::Knows(vec![due.outcome("sent", Value::Null)]));
    support::wait_until(std::time::Duration::from_secs(20), async || {
        suite.read(&due.path).await["lastOutcome"]["state"] == "sent"
    })
    .await;
}
