//! A user of the suite.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use support::{http::Client, wait_until};

use crate::LIMIT;

/// A user with clients of the two public APIs, as the gateway authenticates one.
#[derive(Debug, Clone)]
pub struct TestUser {
    /// User id.
    pub id: String,
    /// E-mail address.
    pub email: String,
    /// reminder-service as this user.
    pub reminders: Client,
    /// notification-service as this user.
    pub notifications: Client,
}

impl TestUser {
    pub(crate) fn new(id: &str, reminders: &Client, notifications: &Client) -> Self {
        let email = format!("{id}@example.com");
        let (reminders, notifications) =
            (reminders.as_user(id, &email), notifications.as_user(id, &email));
        Self { id: id.to_owned(), reminders, notifications, email }
    }

    /// Registers a device and returns its id.
    pub async fn register_device(&self, token: &str, kind: &str) -> String {
        let body = json!({"fcmToken": token, "type": kind, "name": format!("my {kind}")});
        self.notifications.post("/device/register", &body).await.expect(201).id()
    }

    /// Creates a reminder due in `seconds`, and returns its id and its due time.
    pub async fn create_reminder_due_in(
        &self,
        seconds: i64,
        channels: &[&str],
        title: &str,
    ) -> (String, DateTime<Utc>) {
        let date = truncate_to_millis(Utc::now() + TimeDelta::seconds(seconds));
        let body = json!({
            "date": rfc3339(date),
            "title": title,
            "message": format!("{title}, please"),
            "channels": channels,
            "url": "https://example.com/reminder",
        });
        (self.create_reminder(&body).await, date)
    }

    /// Creates a reminder and returns its id.
    pub async fn create_reminder(&self, body: &Value) -> String {
        self.reminders.post("/reminders", body).await.expect(201).id()
    }

    /// Changes a reminder and returns it.
    pub async fn update_reminder(&self, reminder: &str, change: &Value) -> Value {
        self.reminders.patch(&format!("/reminders/{reminder}"), change).await.expect(200).body
    }

    /// Deletes a reminder.
    pub async fn delete_reminder(&self, reminder: &str) {
        self.reminders.delete(&format!("/reminders/{reminder}")).await.expect(200);
    }

    /// Snoozes the latest occurrence of a reminder by `seconds`, and returns the new time.
    pub async fn snooze_reminder(&self, reminder: &str, seconds: i64) -> DateTime<Utc> {
        let until = Utc::now() + TimeDelta::seconds(seconds);
        let body = json!({"until": rfc3339(until)});
        self.reminders.post(&format!("/reminders/{reminder}/snooze"), &body).await.expect(200);
        until
    }

    /// Acknowledges the latest occurrence of a reminder and returns the reminder.
    pub async fn acknowledge_reminder(&self, reminder: &str) -> Value {
        let path = format!("/reminders/{reminder}/acknowledge");
        self.reminders.post(&path, &json!({})).await.expect(200).body
    }

    /// Registered devices.
    pub async fn devices(&self) -> Vec<Value> {
        let answer = self.notifications.get("/device").await.expect(200);
        answer.body["devices"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the history contains a delivery with a title.
    pub async fn wait_for_title(&self, title: &str) {
        wait_until(LIMIT, async || {
            let history = self.history().await;
            let found = history.iter().any(|delivery| delivery["title"] == title);
            if found { Ok(()) } else { Err(format!("{title} expected: {history:#?}")) }
        })
        .await;
    }

    /// Waits until the history contains `count` deliveries in a state, and returns them.
    pub async fn wait_for_deliveries(&self, state: &str, count: usize) -> Vec<Value> {
        wait_until(LIMIT, async || {
            let history = self.history().await;
            let matching: Vec<_> =
                history.iter().filter(|delivery| delivery["state"] == state).cloned().collect();
            if matching.len() == count {
                Ok(matching)
            } else {
                Err(format!("{count} {state} deliveries expected: {history:#?}"))
            }
        })
        .await
    }

    async fn history(&self) -> Vec<Value> {
        let answer = self.notifications.get("/notifications?limit=100").await.expect(200);
        answer.body["notifications"].as_array().cloned().unwrap_or_default()
    }
}

/// Formats a time as clients send it.
#[must_use]
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Truncates a time to seconds, the precision of rules and calendar files.
///
/// # Panics
///
/// If the result is out of range.
#[must_use]
pub fn truncate_to_seconds(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_secs(time.timestamp()).expect("a time")
}

pub(crate) fn truncate_to_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or(time)
}
