//! A reminder as it is answered.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use shared::{
    contract::{Channel, Priority, Recurrence},
    http::ApiError,
};
use utoipa::ToSchema;

use super::{compute::off_thread, examples};
use crate::{
    reminder::{self, Reminder, Status},
    store::Seen,
};

/// A reminder.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Reminder, example = json!(examples::reminder()))]
pub(super) struct ReminderAnswer {
    /// Its id: opaque, at most 64 URL-safe characters, sortable by creation time.
    id: String,
    /// When it was made.
    #[serde(serialize_with = "time")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(serialize_with = "time")]
    updated_at: DateTime<Utc>,
    /// When it is due.
    #[serde(serialize_with = "time")]
    date: DateTime<Utc>,
    /// The IANA zone of its wall clock.
    time_zone: &'static str,
    /// Whether it recurs: exactly when `recurrence` is there.
    is_recurring: bool,
    /// How it recurs.
    recurrence: Option<Recurrence>,
    /// The first of `notifyOffsets`.
    notify_offset: i32,
    /// Minutes before `date` of each delivery, ascending.
    notify_offsets: Vec<i32>,
    /// The first of `channels`.
    notify_type: Channel,
    /// The ways in which it is delivered, in alphabetical order.
    channels: Vec<Channel>,
    /// A short heading.
    title: Option<String>,
    /// The text.
    message: String,
    /// What a tap opens.
    url: Option<String>,
    /// The client's own pairs.
    data: BTreeMap<String, String>,
    /// Minutes after its time in which a delivery is still made.
    expires_after_minutes: i32,
    /// How urgent it is.
    priority: Priority,
    /// The BCP 47 language of the texts around it.
    locale: Option<String>,
    /// Whether a delivery is ahead.
    status: StatusWord,
    /// The time of the next delivery, if one is ahead; a snoozed one counts.
    #[serde(serialize_with = "optional_time")]
    next_at: Option<DateTime<Utc>>,
    /// Which change of it this is; the first is 1.
    version: i64,
}

/// Whether a delivery is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Status)]
pub(super) enum StatusWord {
    /// A delivery is ahead.
    Scheduled,
    /// The last delivery's time has come.
    Completed,
}

impl From<Status> for StatusWord {
    fn from(status: Status) -> Self {
        match status {
            Status::Scheduled => Self::Scheduled,
            Status::Completed => Self::Completed,
        }
    }
}

impl From<StatusWord> for Status {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Scheduled => Self::Scheduled,
            StatusWord::Completed => Self::Completed,
        }
    }
}

impl From<Seen<Reminder>> for ReminderAnswer {
    fn from(Seen { value: reminder, now }: Seen<Reminder>) -> Self {
        let (status, next_at) = (reminder.status(now), reminder.next_at(now));
        Self::new(reminder, status, next_at)
    }
}

impl ReminderAnswer {
    /// The answer for a reminder of which it is known how it stands.
    pub(super) fn new(reminder: Reminder, status: Status, next_at: Option<DateTime<Utc>>) -> Self {
        let reminder::Details { schedule, channels, .. } = &reminder.details;
        Self {
            id: reminder.id.simple().to_string(),
            created_at: reminder.created_at,
            updated_at: reminder.updated_at,
            date: schedule.date,
            time_zone: schedule.time_zone.name(),
            is_recurring: schedule.recurrence.is_some(),
            recurrence: schedule.recurrence.clone().map(Into::into),
            notify_offset: schedule.offsets.first(),
            notify_offsets: schedule.offsets.as_slice().to_vec(),
            notify_type: channels.first().into(),
            channels: channels.as_slice().iter().copied().map(Into::into).collect(),
            title: reminder.details.title.map(reminder::Title::into_string),
            message: reminder.details.message.into_string(),
            url: reminder.details.url.map(reminder::Link::into_string),
            data: reminder.details.data.into_map(),
            expires_after_minutes: reminder.details.expires_after.minutes(),
            priority: reminder.details.priority.into(),
            locale: reminder.details.locale.map(reminder::Locale::into_string),
            status: status.into(),
            next_at,
            version: reminder.version,
        }
    }
}

/// Reminders as they are answered. Where one recurs, its rule is followed off the threads that
/// serve requests.
///
/// # Errors
/// When the work panics.
pub(super) async fn answers(
    user_id: &str,
    seen: Vec<Seen<Reminder>>,
) -> Result<Vec<ReminderAnswer>, ApiError> {
    let recurs = seen.iter().any(|seen| seen.value.details.schedule.recurrence.is_some());
    let convert = move || seen.into_iter().map(ReminderAnswer::from).collect();
    if recurs { off_thread(user_id, convert).await } else { Ok(convert()) }
}

/// UTC with milliseconds and `Z`, as the predecessor wrote it.
pub(super) fn time<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn optional_time<S: Serializer>(
    at: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}
