//! Timeline of a reminder in event-service.

use chrono::{DateTime, Utc};
use serde_json::Value;
use support::wait_until;

use crate::{LIMIT, TestSuite};

impl TestSuite {
    /// Waits until the occurrences of a reminder, in order of time, have these states, and returns
    /// them.
    pub async fn wait_for_states(&self, reminder: &str, states: &[&str]) -> Vec<Value> {
        wait_until(LIMIT, async || {
            let entries = self.timeline(reminder).await;
            let occurrences: Vec<Value> = entries
                .iter()
                .filter(|entry| entry["kind"] == "occurrence")
                .map(|entry| entry["occurrence"].clone())
                .collect();
            let found: Vec<&str> =
                occurrences.iter().filter_map(|entry| entry["state"].as_str()).collect();
            if found == states {
                Ok(occurrences)
            } else {
                Err(format!("{states:?} expected: {occurrences:#?}"))
            }
        })
        .await
    }

    /// Waits until the timeline of a reminder contains an event of a type.
    pub async fn wait_for_event(&self, reminder: &str, event: &str) {
        wait_until(LIMIT, async || {
            let entries = self.timeline(reminder).await;
            let types: Vec<&str> =
                entries.iter().filter_map(|entry| entry["event"]["type"].as_str()).collect();
            if types.contains(&event) {
                Ok(())
            } else {
                Err(format!("{event} expected: {types:?}"))
            }
        })
        .await;
    }

    async fn timeline(&self, reminder: &str) -> Vec<Value> {
        let answer = self.event_api().get(&format!("/timeline/{reminder}")).await;
        // The timeline is empty until the first event of the reminder has arrived.
        answer.body["timeline"].as_array().cloned().unwrap_or_default()
    }
}

/// Parses a time of an answer.
///
/// # Panics
///
/// If the value is not a time.
#[must_use]
pub fn parse_time(value: &Value) -> DateTime<Utc> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("not a time: {value}"))
}
