//! Payloads of occurrences, as this version of the service, an older one or a newer one stored
//! them.
//!
//! Each row is read separately: a row that cannot be read fails neither its statement nor the other
//! rows.

use contract::{Channel, ItemId, NotifyContent, Priority, SendData};
use db::StoredTime;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

/// Columns of a dispatch that identify it without its payload.
pub(super) struct Columns {
    pub(super) occurrence_id: Uuid,
    pub(super) source: String,
    pub(super) item_id: String,
    pub(super) due_at: StoredTime,
    pub(super) expires_at: StoredTime,
}

/// Reads a payload; returns `None` if this version cannot. A channel that this version does not
/// know is left out: a newer version wrote it, and makes its deliveries.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    if let Ok(read) = serde_json::from_str(text) {
        return Some(read);
    }
    let mut value: Value = serde_json::from_str(text).ok()?;
    if let Some(channels) = value.get_mut("channels").and_then(Value::as_array_mut) {
        channels.retain(|channel| {
            channel.as_str().is_some_and(|channel| channel.parse::<Channel>().is_ok())
        });
    }
    serde_json::from_value(value).ok()
}

/// Reads the payload of a dispatch; the second value is `false` if it cannot be read, and the first
/// holds the columns only.
pub(super) fn send(text: &str, columns: Columns) -> (SendData, bool) {
    let times = columns.due_at.get().zip(columns.expires_at.get());
    match read::<SendData>(text).zip(times) {
        Some((send, (_, expires_at))) => (SendData { expires_at, ..send }, true),
        None => {
            note("dispatches", columns.occurrence_id);
            (empty(columns), false)
        }
    }
}

/// Counts and logs a row that this version cannot read.
pub(super) fn note(table: &'static str, id: Uuid) {
    metrics::counter!("reminders_unreadable_rows_total", "table" => table).increment(1);
    tracing::error!(
        table,
        row.id = %id.simple(),
        "stored row is unreadable by this version, was skipped"
    );
}

fn empty(columns: Columns) -> SendData {
    let Columns { occurrence_id, source, item_id, due_at, expires_at } = columns;
    let (due_at, expires_at) = (due_at.nearest(), expires_at.nearest());
    let content = NotifyContent {
        channels: Vec::new(),
        title: None,
        message: String::new(),
        url: None,
        data: Default::default(),
        priority: Priority::Normal,
        locale: None,
        time_zone: "UTC".to_owned(),
        expires_after_minutes: 0,
    };
    let item_id = ItemId::try_from(item_id).unwrap_or_else(|_| occurrence_id.into());
    SendData {
        occurrence_id: occurrence_id.simple(),
        source,
        item_id,
        due_at,
        date: due_at,
        expires_at,
        item_changed_at: None,
        as_of: None,
        ended: None,
        content,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn payload() -> Value {
        json!({
            "occurrenceId": "00000000000000000000000000000001",
            "source": "reminder",
            "itemId": "a",
            "dueAt": "2026-01-01T00:00:00Z",
            "date": "2026-01-01T00:00:00Z",
            "expiresAt": "2026-01-01T01:00:00Z",
            "channels": ["push"],
            "message": "Water the plants",
            "timeZone": "UTC",
            "expiresAfterMinutes": 60,
        })
    }

    fn columns() -> Columns {
        let due_at = StoredTime::from(DateTime::UNIX_EPOCH);
        let (source, item_id) = ("reminder".to_owned(), "a".to_owned());
        Columns { occurrence_id: Uuid::from_u128(1), source, item_id, due_at, expires_at: due_at }
    }

    #[test]
    fn leaves_out_unknown_channel_of_newer_version() {
        let mut newer = payload();
        newer["channels"] = json!(["push", "sms", 7]);
        let (send, is_readable) = send(&newer.to_string(), columns());
        assert_eq!((send.content.channels, is_readable), (vec![Channel::Push], true));
        assert_eq!(send.content.message, "Water the plants");
    }

    #[test]
    fn keeps_columns_when_payload_is_unreadable() {
        for text in ["{}", "[]", "null", r#"{"channels": "push"}"#] {
            let (send, is_readable) = send(text, columns());
            assert!(!is_readable, "{text}");
            assert_eq!(
                (send.item_id.as_str(), send.occurrence_id),
                ("a", Uuid::from_u128(1).simple())
            );
        }
    }
}
