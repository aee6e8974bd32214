//! A user of the suite.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use support::{eventually, http::Client};

use crate::LIMIT;

/// A user, as the gateway introduces one.
#[derive(Debug, Clone)]
pub struct Person {
    /// The user's id.
    pub id: String,
    /// Where the user's e-mail goes.
    pub email: String,
    /// reminder-service as this user.
    pub reminders: Client,
    /// notification-service as this user.
    pub notifications: Client,
}

impl Person {
    pub(crate) fn new(id: &str, reminders: &Client, notifications: &Client) -> Self {
        let email = format!("{id}@example.com");
        let (reminders, notifications) =
            (reminders.as_user(id, &email), notifications.as_user(id, &email));
        Self { id: id.to_owned(), reminders, notifications, email }
    }

    /// Registers a device and answers its id.
    pub async fn registers(&self, token: &str, kind: &str) -> String {
        let body = json!({"fcmToken": token, "type": kind, "name": format!("my {kind}")});
        self.notifications.post("/device/register", &body).await.expect(201).id()
    }

    /// Makes a reminder due in `seconds` and answers its id and its due time.
    pub async fn is_reminded_in(
        &self,
        seconds: i64,
        channels: &[&str],
        title: &str,
    ) -> (String, DateTime<Utc>) {
        let date = whole_millis(Utc::now() + TimeDelta::seconds(seconds));
        let body = json!({"date": written(date), "title": title, "message": format!("{title}, please"), "channels": channels,
            "url": "https://example.com/reminder"});
        (self.makes(&body).await, date)
    }

    /// Makes a reminder and answers its id.
    pub async fn makes(&self, body: &Value) -> String {
        self.reminders.post("/reminders", body).await.expect(201).id()
    }

    /// Changes a reminder and answers it.
    pub async fn edits(&self, reminder: &str, change: &Value) -> Value {
        self.reminders.patch(&format!("/reminders/{reminder}"), change).await.expect(200).body
    }

    /// Deletes a reminder.
    pub async fn deletes(&self, reminder: &str) {
        self.reminders.delete(&format!("/reminders/{reminder}")).await.expect(200);
    }

    /// Waits until the history shows something under a title.
    pub async fn reads(&self, title: &str) {
        eventually(LIMIT, async || {
            let answer = self.notifications.get("/notifications?limit=100").await.expect(200).body;
            let items = answer["notifications"].as_array().cloned().unwrap_or_default();
            if items.iter().any(|it| it["title"] == title) {
                Ok(())
            } else {
                Err(answer.to_string())
            }
        })
        .await;
    }

    /// Waits until the history shows `count` deliveries in a state, and answers them.
    pub async fn sees(&self, state: &str, count: usize) -> Vec<Value> {
        eventually(LIMIT, async || {
            let answer = self.notifications.get("/notifications?limit=100").await.expect(200);
            let items = answer.body["notifications"].as_array().cloned().unwrap_or_default();
            let matching: Vec<_> =
                items.iter().filter(|it| it["state"] == state).cloned().collect();
            if matching.len() == count {
                Ok(matching)
            } else {
                Err(format!("{count} {state} deliveries expected: {}", answer.body))
            }
        })
        .await
    }
}

/// A time as clients write it.
#[must_use]
pub fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The second in which a time lies, as rules and calendar files know times.
///
/// # Panics
///
/// When there is no such time.
#[must_use]
pub fn whole_seconds(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_secs(time.timestamp()).expect("a time")
}

pub(crate) fn whole_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or(time)
}
