//! The life of a reminder, as event-service tells it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use support::eventually;

use crate::{House, LIMIT};

impl House {
    /// Waits until a reminder's times of delivery stand so, in order of time, and answers them.
    pub async fn stands(&self, reminder: &str, states: &[&str]) -> Vec<Value> {
        eventually(LIMIT, async || {
            let steps = self.steps(reminder).await;
            let occurrences: Vec<Value> = steps
                .iter()
                .filter(|step| step["kind"] == "occurrence")
                .map(|step| step["occurrence"].clone())
                .collect();
            let found: Vec<&str> =
                occurrences.iter().filter_map(|it| it["state"].as_str()).collect();
            if found == states {
                Ok(occurrences)
            } else {
                Err(format!("{states:?} expected: {occurrences:#?}"))
            }
        })
        .await
    }

    /// Waits until an event of a type is told of a reminder.
    pub async fn tells(&self, reminder: &str, event: &str) {
        eventually(LIMIT, async || {
            let steps = self.steps(reminder).await;
            let told: Vec<&str> =
                steps.iter().filter_map(|step| step["event"]["type"].as_str()).collect();
            if told.contains(&event) { Ok(()) } else { Err(format!("{event} expected: {told:?}")) }
        })
        .await;
    }

    async fn steps(&self, reminder: &str) -> Vec<Value> {
        let answer = self.events().get(&format!("/timeline/{reminder}")).await;
        // Nothing is known of it until its event has come.
        answer.body["timeline"].as_array().cloned().unwrap_or_default()
    }
}

/// A time as the services answer it.
///
/// # Panics
///
/// When it is none.
#[must_use]
pub fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no time: {value}"))
}
