//! JSON form of a reminder in answers.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use contract::{Channel, DeliveryState, Priority, Reason, ReasonCode, Recurrence};
use reqwest::header::HeaderMap;
use serde::{Serialize, Serializer};
use service::http::ApiError;
use utoipa::ToSchema;

use super::examples;
use crate::{
    domain::reminder::{self, LastDelivery, Reminder, Status},
    store::Seen,
    usecases::{LastOutcome, Resources, Updated, off_thread, read_last_outcomes},
};

/// Time after which a conversion lets those of other users run.
const SLICE: Duration = Duration::from_millis(50);

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
    /// `date` on the wall clock of `effectiveTimeZone`, without an offset.
    #[serde(serialize_with = "local_time")]
    #[schema(value_type = String)]
    local_date: NaiveDateTime,
    /// IANA time zone of local times, or `user` if the reminder follows the one of its user.
    time_zone: &'static str,
    /// IANA time zone of local times in use now.
    effective_time_zone: &'static str,
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
    /// Outcome of the latest delivery since the schedule was set; `null` if none was due yet. Left
    /// out if it cannot be known now: notification-service is not configured or does not answer.
    /// Repeated answers to an `Idempotency-Key` and `GET /me/export` have none either.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LastOutcomeAnswer>, required = false)]
    last_outcome: Option<Option<LastOutcomeAnswer>>,
    /// The delivery that `last_outcome` is of.
    #[serde(skip)]
    last_delivery: Option<LastDelivery>,
    /// Version; it grows with each change, and the first is 1.
    version: i64,
}

/// Outcome of the latest delivery of a reminder.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LastOutcome)]
pub(super) struct LastOutcomeAnswer {
    /// Time at which the delivery was due.
    #[serde(serialize_with = "time")]
    at: DateTime<Utc>,
    /// `sent` if it was accepted on at least one channel and device; else `pending` or `deferred`
    /// while it is on one of them, then `failed` if it failed on one, or `suppressed`. `null` if no
    /// record of it is left, or none was made before it expired.
    #[schema(inline)]
    state: Option<DeliveryState>,
    /// Reason code of the state; `null` if it has none. Later versions may add codes.
    #[schema(value_type = Option<Reason>)]
    reason: Option<ReasonCode>,
    /// Time of the final state; `null` if there is none yet.
    #[serde(serialize_with = "optional_time")]
    finished_at: Option<DateTime<Utc>>,
}

impl From<LastOutcome> for LastOutcomeAnswer {
    fn from(LastOutcome { at, state, reason, finished_at }: LastOutcome) -> Self {
        Self { at, state, reason, finished_at }
    }
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

    /// Returns `true` if showing the outcome of the latest delivery takes a call.
    pub(super) const fn has_last_delivery(&self) -> bool {
        self.last_delivery.is_some()
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
        let last_delivery = updated.last_delivery;
        let changed_occurrences =
            reminder.changed_occurrences.into_iter().map(ChangedOccurrenceAnswer::from);
        let reminder::Details { schedule, channels, .. } = &reminder.details;
        Self {
            id: reminder.id.simple().to_string(),
            created_at: reminder.created_at,
            updated_at: reminder.updated_at,
            date: schedule.date,
            local_date: schedule.local_date(),
            time_zone: schedule.time_zone.shown(),
            effective_time_zone: schedule.time_zone.name(),
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
            last_outcome: None,
            last_delivery,
            version: reminder.version,
        }
    }
}

/// Converts reminders into answers, without their last outcomes. If one of them recurs, the
/// conversion runs outside of the threads that serve requests, in slices between which those of
/// other users run.
///
/// # Errors
/// If the conversion panics.
pub(super) async fn answers(
    user_id: &str,
    seen: Vec<Seen<Reminder>>,
) -> Result<Vec<ReminderAnswer>, ApiError> {
    let recurs = seen.iter().any(|seen| seen.value.details.schedule.recurrence.is_some());
    if !recurs {
        return Ok(seen.into_iter().map(ReminderAnswer::from).collect());
    }
    let mut converted = Vec::with_capacity(seen.len());
    let mut left = seen.into_iter();
    while left.len() > 0 {
        (converted, left) = off_thread(user_id, move || {
            let started = Instant::now();
            for seen in left.by_ref() {
                converted.push(seen.into());
                if started.elapsed() >= SLICE {
                    break;
                }
            }
            (converted, left)
        })
        .await?;
    }
    Ok(converted)
}

/// Shows the last outcomes of reminders, which takes at most one call to notification-service. They
/// are left out if they cannot be known now.
pub(super) async fn show_last_outcomes<'a>(
    resources: &Resources,
    user_id: &str,
    credentials: &HeaderMap,
    reminders: impl Iterator<Item = &'a mut ReminderAnswer>,
) {
    let reminders: Vec<_> = reminders.collect();
    let deliveries = reminders.iter().filter_map(|reminder| reminder.last_delivery);
    let Some(outcomes) = read_last_outcomes(resources, user_id, credentials, deliveries).await
    else {
        return;
    };
    for reminder in reminders {
        let outcome = reminder.last_delivery.map(|last| outcomes.of(&last).into());
        reminder.last_outcome = Some(outcome);
    }
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
