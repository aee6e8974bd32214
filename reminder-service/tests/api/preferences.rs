//! Stand-in for notification-service: the preferences of the user `ada`, and the changes of zones.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use crate::service::Service;

/// Zone and e-mail address of a user.
type Change = (Option<String>, Option<String>);

/// Stand-in for notification-service.
#[derive(Clone, Default)]
pub(crate) struct Preferences {
    answer: Arc<Mutex<Value>>,
    /// Users whose zone changed.
    changes: Arc<Mutex<BTreeMap<String, Change>>>,
    calls: Arc<AtomicUsize>,
    /// Status of the list of changes, if it is not 200.
    feed_status: Arc<Mutex<Option<StatusCode>>>,
    readings: Arc<AtomicUsize>,
    url: String,
}

impl Preferences {
    /// Sets the preferences: a body, a status, or null for no answer.
    pub(crate) fn set(&self, answer: Value) {
        *self.answer.lock().expect("not poisoned") = answer;
    }

    /// Lists the change of a user's zone.
    pub(crate) fn change_zone(&self, user: &str, zone: Option<&str>) {
        let email = Some(format!("{user}@example.com"));
        self.change_zone_as(user, zone, email.as_deref());
    }

    /// Lists the change of a user's zone with a verified e-mail address, or none.
    pub(crate) fn change_zone_as(&self, user: &str, zone: Option<&str>, email: Option<&str>) {
        let change = (zone.map(str::to_owned), email.map(str::to_owned));
        self.changes.lock().expect("not poisoned").insert(user.to_owned(), change);
    }

    /// Removes the changes from the list.
    pub(crate) fn forget_changes(&self) {
        self.changes.lock().expect("not poisoned").clear();
    }

    /// Answers readings of the changes with a status, or with the changes again.
    pub(crate) fn set_feed_status(&self, status: Option<StatusCode>) {
        *self.feed_status.lock().expect("not poisoned") = status;
    }

    /// Number of calls for preferences.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Number of readings of the changes.
    pub(crate) fn readings(&self) -> usize {
        self.readings.load(Ordering::SeqCst)
    }

    /// Variables of a service that knows the address of the stand-in.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 1] {
        [("NOTIFICATION_SERVICE_URL", &self.url)]
    }

    /// Starts the stand-in, and a service that knows its address.
    pub(crate) async fn start(answer: Value) -> (Self, Service) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let preferences = Self { url, ..Self::default() };
        preferences.set(answer);
        let routes = Router::new()
            .route("/preferences", get(preferences_of))
            .route("/zone-changes", get(zone_changes))
            .with_state(preferences.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let database = Service::start().await.stop().await;
        let service = Service::start_on(database, &preferences.variables()).await;
        service.ready().await;
        (preferences, service)
    }
}

async fn preferences_of(State(preferences): State<Preferences>, headers: HeaderMap) -> Response {
    assert_eq!(headers.get("x-authenticated-userid").expect("a user").as_bytes(), b"ada");
    preferences.calls.fetch_add(1, Ordering::SeqCst);
    if preferences.answer.lock().expect("not poisoned").is_null() {
        std::future::pending::<()>().await;
    }
    let answer = preferences.answer.lock().expect("not poisoned").clone();
    match answer.as_u64().and_then(|status| u16::try_from(status).ok()) {
        Some(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, [("retry-after", "7")]).into_response()
        }
        None => Json(answer).into_response(),
    }
}

/// Lists all changes each time, as if they were of the last minute.
async fn zone_changes(State(preferences): State<Preferences>) -> Response {
    preferences.readings.fetch_add(1, Ordering::SeqCst);
    if let Some(status) = *preferences.feed_status.lock().expect("not poisoned") {
        return status.into_response();
    }
    let changes = preferences.changes.lock().expect("not poisoned").clone();
    let changes = changes.into_iter().map(|(user, (zone, email))| {
        let changed_at = "2026-01-01T00:00:00.000Z";
        json!({"userId": user, "timeZone": zone, "email": email, "changedAt": changed_at})
    });
    let changes: Vec<_> = changes.collect();
    Json(json!({"changes": changes, "next": "1.", "hasMore": false})).into_response()
}

/// Preferences that name a zone.
pub(crate) fn in_zone(zone: &str) -> Value {
    json!({"channels": {"push": true, "email": true}, "quietHours": null, "timeZone": zone})
}
