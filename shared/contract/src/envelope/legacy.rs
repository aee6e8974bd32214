//! Bodies of the predecessor: `eventData` contains the fields of the reminder, and `date` is
//! already the time of delivery.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::problem;
use crate::{
    Channel, ITEM_REMINDER, ItemId, NotifyContent, Priority, ReminderData, SendData, occurrence_id,
};

/// Expiry of a notification of the predecessor: the default of this suite.
const EXPIRES_AFTER_MINUTES: i32 = 24 * 60;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    date: DateTime<Utc>,
    title: Option<String>,
    message: String,
    url: Option<String>,
    notify_type: Option<OneOrMany>,
    channels: Option<OneOrMany>,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "must be text or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Version of an item without one: the time of its last change, in milliseconds.
pub(super) fn version(data: &Value, occurred_at: DateTime<Utc>) -> i64 {
    let updated_at = data
        .get("updatedAt")
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<DateTime<Utc>>().ok());
    updated_at.unwrap_or(occurred_at).timestamp_millis()
}

/// Reads a reminder, or a command for a notification.
pub(super) fn reminder(data: &Value) -> Result<ReminderData, String> {
    let fields = fields(data)?;
    Ok(ReminderData {
        date: fields.date,
        notify_offsets: vec![0],
        recurrence: None,
        snooze: None,
        acknowledged: None,
        paused: false,
        changed_occurrences: Vec::new(),
        content: content(fields)?,
    })
}

/// Reads a due occurrence.
pub(super) fn send(data: &Value, item_id: &ItemId) -> Result<SendData, String> {
    let fields = fields(data)?;
    let date = fields.date;
    Ok(SendData {
        occurrence_id: occurrence_id(ITEM_REMINDER, item_id.as_str(), date).simple(),
        source: ITEM_REMINDER.to_owned(),
        item_id: item_id.clone(),
        due_at: date,
        date,
        expires_at: date
            .checked_add_signed(TimeDelta::minutes(EXPIRES_AFTER_MINUTES.into()))
            .ok_or_else(|| "date: must be in the years 0001 to 9999".to_owned())?,
        item_changed_at: None,
        as_of: None,
        ended: None,
        content: content(fields)?,
    })
}

fn fields(data: &Value) -> Result<Fields, String> {
    Fields::deserialize(data).map_err(|error| problem::of_value::<Fields>(data, &error))
}

fn content(fields: Fields) -> Result<NotifyContent, String> {
    let words = match fields.channels.or(fields.notify_type) {
        None => vec![Channel::Push.as_str().to_owned()],
        Some(OneOrMany::One(word)) => vec![word],
        Some(OneOrMany::Many(words)) => words,
    };
    let mut channels = words
        .iter()
        .map(|word| word.to_lowercase().parse())
        .collect::<Result<Vec<Channel>, _>>()
        .map_err(|problem| format!("channels: {problem}"))?;
    channels.sort_by_key(|channel| channel.as_str());
    channels.dedup();
    if channels.is_empty() {
        return Err("channels: must not be empty".to_owned());
    }
    Ok(NotifyContent {
        channels,
        title: fields.title.filter(|title| !title.is_empty()),
        message: fields.message,
        url: fields.url.filter(|url| !url.is_empty()),
        data: fields.data.unwrap_or_default(),
        priority: Priority::Normal,
        locale: None,
        time_zone: "UTC".to_owned(),
        expires_after_minutes: EXPIRES_AFTER_MINUTES,
    })
}
