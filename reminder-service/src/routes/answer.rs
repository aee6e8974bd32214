//! JSON form of a reminder in answers.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use contract::{Channel, Priority, Recurrence};
use serde::{Serialize, Serializer};
use service::http::ApiError;
use utoipa::ToSchema;

use super::examples;
use crate::{
    domain::reminder::{self, Reminder, Status},
    store::Seen,
    usecases::{Updated, off_thread},
};

/// A reminder.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Reminder, example = json!(examples::reminder()))]
pub(super) struct ReminderAnswer {
    /// Id: opaque, at most 64 URL-safe characters, sortable by creation time.
    id: String,
    /// Time of creation.
    #[serde(serialize_with = "time")]
    created_at: DateTime<Utc>,
    /// Time of the last change.
    #[serde(serialize_with = "time")]
    updated_at: DateTime<Utc>,
    /// Due time; for a recurring reminder, the start of its rule.
    #[serde(serialize_with = "time")]
    date: DateTime<Utc>,
    /// `date` on the wall clock of `timeZone`, without an offset.
    #[serde(serialize_with = "local_time")]
    #[schema(value_type = String)]
    local_date: NaiveDateTime,
    /// IANA time zone of local times.
    time_zone: &'static str,
    /// `true` exactly if `recurrence` is not `null`.
    is_recurring: bool,
    /// Recurrence rule.
    recurrence: Option<Recurrence>,
    /// The first of `notifyOffsets`.
    notify_offset: i32,
    /// Minutes before the due time at which it is delivered, ascending.
    notify_offsets: Vec<i32>,
    /// The first of `channels`.
    notify_type: Channel,
    /// Channels on which it is delivered, in alphabetical order.
    channels: Vec<Channel>,
    /// Title: one line.
    title: Option<String>,
    /// Message.
    message: String,
    /// Link that a tap opens.
    url: Option<String>,
    /// Key-value pairs of the client.
    data: BTreeMap<String, String>,
    /// Minutes after the time of a delivery during which it is still sent.
    expires_after_minutes: i32,
    /// Priority.
    priority: Priority,
    /// BCP 47 language of the surrounding texts.
    locale: Option<String>,
    /// Occurrences whose texts differ from those of the reminder, in order.
    changed_occurrences: Vec<ChangedOccurrenceAnswer>,
    /// Status.
    status: StatusWord,
    /// Time from which on nothing is delivered; `null` unless the reminder is paused.
    #[serde(serialize_with = "optional_time")]
    paused_at: Option<DateTime<Utc>>,
    /// Time of the next delivery, including a snooze; `null` if there is none.
    #[serde(serialize_with = "optional_time")]
    next_at: Option<DateTime<Utc>>,
    /// Time at which the latest occurrence was acknowledged, which tells one that is done from one
    /// that was only sent; `null` if it was not, as from the next delivery of a later one on.
    #[serde(serialize_with = "optional_time")]
    acknowledged_at: Option<DateTime<Utc>>,
    /// Time at which a snoozed occurrence is delivered once more; `null` if none is.
    #[serde(serialize_with = "optional_time")]
    snoozed_until: Option<DateTime<Utc>>,
    /// Version; it grows with each change, and the first is 1.
    version: i64,
}

/// An occurrence whose texts differ from those of the others.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChangedOccurrence)]
pub(super) struct ChangedOccurrenceAnswer {
    /// Due time.
    #[serde(serialize_with = "time")]
    at: DateTime<Utc>,
    /// Title: one line.
    title: Option<String>,
    /// Message.
    message: String,
    /// Link that a tap opens.
    url: Option<String>,
    /// Key-value pairs of the client.
    data: BTreeMap<String, String>,
}

impl From<reminder::ChangedOccurrence> for ChangedOccurrenceAnswer {
    fn from(changed: reminder::ChangedOccurrence) -> Self {
        let contract::ChangedOccurrence { date: at, title, message, url, data } = changed.into();
        Self { at, title, message, url, data }
    }
}

/// Status of a reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Status)]
pub(super) enum StatusWord {
    /// A delivery is in the future.
    Scheduled,
    /// The time of the last delivery has passed.
    Completed,
    /// Nothing is delivered until the reminder is resumed.
    Paused,
}

impl From<Status> for StatusWord {
    fn from(status: Status) -> Self {
        match status {
            Status::Scheduled => Self::Scheduled,
            Status::Completed => Self::Completed,
            Status::Paused => Self::Paused,
        }
    }
}

impl From<StatusWord> for Status {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Scheduled => Self::Scheduled,
            StatusWord::Completed => Self::Completed,
            StatusWord::Paused => Self::Paused,
        }
    }
}

impl ReminderAnswer {
    /// Version of the reminder.
    pub(super) const fn version(&self) -> i64 {
        self.version
    }
}

impl From<Seen<Reminder>> for ReminderAnswer {
    fn from(Seen { value: reminder, now }: Seen<Reminder>) -> Self {
        Updated::at(reminder, now).into()
    }
}

impl From<Updated> for ReminderAnswer {
    fn from(updated: Updated) -> Self {
        let Updated { reminder, status, next_at, acknowledged_at, snoozed_until, .. } = updated;
        let changed_occurrences =
            reminder.changed_occurrences.into_iter().map(ChangedOccurrenceAnswer::from);
        let reminder::Details { schedule, channels, .. } = &reminder.details;
        Self {
            id: reminder.id.simple().to_string(),
            created_at: reminder.created_at,
            updated_at: reminder.updated_at,
            date: schedule.date,
            local_date: schedule.local_date(),
            time_zone: schedule.time_zone.name(),
            is_recurring: schedule.recurrence.is_some(),
            recurrence: schedule.recurrence.clone().map(Into::into),
            notify_offset: schedule.offsets.first(),
            notify_offsets: schedule.offsets.as_slice().to_vec(),
            notify_type: channels.first(),
            channels: channels.as_slice().to_vec(),
            title: reminder.details.title.map(reminder::Title::into_string),
            message: reminder.details.message.into_string(),
            url: reminder.details.url.map(reminder::Link::into_string),
            data: reminder.details.data.into_map(),
            expires_after_minutes: reminder.details.expires_after.minutes(),
            priority: reminder.details.priority,
            locale: reminder.details.locale.map(reminder::Locale::into_string),
            changed_occurrences: changed_occurrences.collect(),
            status: status.into(),
            paused_at: reminder.paused_at,
            next_at,
            acknowledged_at,
            snoozed_until,
            version: reminder.version,
        }
    }
}

/// Converts reminders into answers. If one of them recurs, the conversion runs outside of the
/// threads that serve requests.
///
/// # Errors
/// If the conversion panics.
pub(super) async fn answers(
    user_id: &str,
    seen: Vec<Seen<Reminder>>,
) -> Result<Vec<ReminderAnswer>, ApiError> {
    let recurs = seen.iter().any(|seen| seen.value.details.schedule.recurrence.is_some());
    let convert = move || seen.into_iter().map(ReminderAnswer::from).collect();
    if recurs { Ok(off_thread(user_id, convert).await?) } else { Ok(convert()) }
}

/// Writes UTC with milliseconds and `Z`, like version 1.0.0.
pub(super) fn time<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Writes a wall-clock time without an offset; the fraction of a second only if there is one.
pub(super) fn local_time<S: Serializer>(
    local: &NaiveDateTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&local.format("%Y-%m-%dT%H:%M:%S%.f"))
}

/// Writes a time like [`time`], or `null`.
pub(super) fn optional_time<S: Serializer>(
    at: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}
