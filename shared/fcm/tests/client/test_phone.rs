//! Sandbox, and a client of FCM that sends to it.

use fcm::{Client, Message, Outcome, Platform, Priority, ServiceAccount, Settings};
use sandbox::{Options, Sandbox};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

pub(crate) struct TestPhone {
    pub(crate) sandbox: Sandbox,
    pub(crate) fcm: Arc<Client>,
}

impl TestPhone {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let url = sandbox.url();
        let fcm = fcm(&sandbox, &url, change);
        TestPhone { sandbox, fcm: Arc::new(fcm) }
    }

    pub(crate) async fn push(&self, token: &str) -> Outcome {
        push(&self.fcm, token).await
    }

    pub(crate) async fn push_until(&self, token: &str, deadline: Instant) -> Outcome {
        push_before(&self.fcm, token, Platform::Android, deadline).await
    }

    /// Pushes to `count` devices at once, whose tokens begin with `token`, and returns each
    /// outcome.
    pub(crate) async fn burst(&self, token: &str, count: usize) -> Vec<Outcome> {
        burst(&self.fcm, token, count).await
    }
}

/// Creates a client that gets its access tokens from the sandbox and sends to `endpoint`.
pub(crate) fn fcm(sandbox: &Sandbox, endpoint: &str, change: impl FnOnce(&mut Settings)) -> Client {
    let account = ServiceAccount::parse(&sandbox.fcm_project_config()).unwrap();
    let mut settings = Settings::new(account, endpoint.parse().unwrap());
    change(&mut settings);
    Client::new(settings).unwrap()
}

pub(crate) async fn push(fcm: &Client, token: &str) -> Outcome {
    push_to(fcm, token, Platform::Android).await
}

pub(crate) async fn push_to(fcm: &Client, token: &str, platform: Platform) -> Outcome {
    push_before(fcm, token, platform, Instant::now() + Duration::from_secs(40)).await
}

async fn push_before(fcm: &Client, token: &str, platform: Platform, deadline: Instant) -> Outcome {
    let data = BTreeMap::from([("room".to_owned(), "kitchen".to_owned())]);
    let occurrence = Uuid::now_v7().simple().to_string();
    let message = Message {
        token,
        platform,
        title: "Water the plants",
        body: "The ficus too.",
        ids: &[("occurrenceId", &occurrence), ("reminderId", "item-1")],
        url: Some("https://example.com/plants"),
        data: &data,
        collapse_key: &occurrence,
        priority: Priority::Normal,
        expires_at: chrono::Utc::now() + Duration::from_secs(3_600),
    };
    fcm.send(&message, chrono::Utc::now(), deadline).await
}

pub(crate) async fn burst(fcm: &Arc<Client>, token: &str, count: usize) -> Vec<Outcome> {
    let sends: Vec<_> = (0..count)
        .map(|number| {
            let (fcm, token) = (Arc::clone(fcm), format!("{token}{number}"));
            tokio::spawn(async move { push(&fcm, &token).await })
        })
        .collect();
    let mut outcomes = Vec::with_capacity(count);
    for send in sends {
        outcomes.push(send.await.unwrap());
    }
    outcomes
}

pub(crate) fn is_sent(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Sent { .. })
}

/// Returns the class and the code of an outcome.
pub(crate) fn class_and_code(outcome: &Outcome) -> (&'static str, &str) {
    (outcome.class(), outcome.code().unwrap_or_default())
}

/// Asserts that a future ends within a limit, and returns its result.
pub(crate) async fn ends_within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let value = tokio::time::timeout(limit * 4, future).await.expect("it ends");
    assert!(start.elapsed() <= limit, "took {:?} instead of {limit:?}", start.elapsed());
    value
}
