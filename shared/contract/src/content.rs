//! `eventData` of reminders, of commands for notifications, and of due occurrences.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ids::ItemId, reason::ReasonCode};

words! {
    /// A way to reach a user.
    Channel {
        /// The user's devices, by FCM.
        Push = "push",
        /// The user's mailbox, by SES.
        Email = "email",
    }
}

words! {
    /// Urgency of a reminder.
    #[derive(Default)]
    Priority {
        /// May wait for the end of quiet hours.
        #[default]
        Normal = "normal",
        /// Wakes the device and passes quiet hours.
        High = "high",
    }
}

words! {
    /// Treatment of an occurrence whose local time does not exist (a clock change forward).
    #[derive(Default)]
    GapPolicy {
        /// Shift it by the length of the gap (as in RFC 5545).
        #[default]
        Shift = "shift",
        /// Leave the instance out.
        Skip = "skip",
    }
}

words! {
    /// Treatment of an occurrence whose local time exists twice (a clock change back).
    #[derive(Default)]
    FoldPolicy {
        /// The earlier instant (as in RFC 5545).
        #[default]
        First = "first",
        /// The later instant.
        Second = "second",
        /// Both instants.
        Both = "both",
    }
}

/// Rule by which a reminder recurs, in wall-clock time of its zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recurrence {
    /// An RFC 5545 RRULE value, such as `FREQ=DAILY;COUNT=3`.
    #[cfg_attr(feature = "openapi", schema(max_length = 1000))]
    pub rrule: String,
    /// Instances that are left out, as local date-times.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<ListedDate>, max_items = 1000))]
    #[serde(default)]
    pub exdates: Vec<String>,
    /// Instances beside those of the rule, in the forms of `exdates`, which exclude these too.
    /// Neither `COUNT` nor `UNTIL` applies to them.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<ListedDate>, max_items = 1000))]
    // Processes of an earlier version refuse messages with a field that they do not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rdates: Vec<String>,
    /// Policy for local times that do not exist.
    #[serde(default)]
    pub gap: GapPolicy,
    /// Policy for local times that exist twice.
    #[serde(default)]
    pub fold: FoldPolicy,
}

/// Local date-time such as `2026-03-01T08:00:00`, instant with `Z` or an offset, or local day.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[schema(max_length = 40)]
#[expect(dead_code, reason = "describes the entries of a list of texts")]
struct ListedDate(String);

/// Content of a notification, which is passed on unchanged from the reminder to the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifyContent {
    /// The channels, in alphabetical order, none twice.
    pub channels: Vec<Channel>,
    /// Title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text.
    pub message: String,
    /// URL that a tap opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Data of the client.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Urgency.
    #[serde(default)]
    pub priority: Priority,
    /// BCP 47 language of the texts of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// IANA zone in which the time is shown.
    pub time_zone: String,
    /// Minutes after the time of delivery from which on the notification is no longer sent.
    pub expires_after_minutes: i32,
}

/// `eventData` of `reminder:created|updated` and of `notification:create|update` (schema 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReminderData {
    /// Due time (DTSTART of a recurring reminder).
    pub date: DateTime<Utc>,
    /// Minutes before `date` at which to notify; at least one.
    pub notify_offsets: Vec<i32>,
    /// Recurrence rule; `None` for a single occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
    /// Occurrence that is delivered once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snooze: Option<Snooze>,
    /// Last acknowledged occurrence: it and those before it are no longer delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<DateTime<Utc>>,
    /// `true`: nothing is delivered until a later version says otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Occurrences whose texts differ from those of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_occurrences: Vec<ChangedOccurrence>,
    /// Content of the notification.
    #[serde(flatten)]
    pub content: NotifyContent,
}

/// Texts of one occurrence, in place of those of the reminder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedOccurrence {
    /// Date of the occurrence.
    pub date: DateTime<Utc>,
    /// Title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text.
    pub message: String,
    /// URL that a tap opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Data of the client.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
}

impl NotifyContent {
    /// Content of the occurrence of a date, whose texts may differ from those of the others.
    #[must_use]
    pub fn of_occurrence(self, date: DateTime<Utc>, changed: &[ChangedOccurrence]) -> Self {
        let Some(texts) = changed.iter().find(|changed| changed.date == date) else { return self };
        let ChangedOccurrence { title, message, url, data, .. } = texts.clone();
        Self { title, message, url, data, ..self }
    }
}

/// Occurrence that the user snoozed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snooze {
    /// Date of the instance.
    pub date: DateTime<Utc>,
    /// Time at which it is delivered once more.
    pub until: DateTime<Utc>,
}

/// `eventData` of `user:erased`. The `itemId` of the body is the id of the receipt; all data up to
/// `occurredAt` is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErasedData {
    /// Receipt of the erasure.
    pub receipt_id: ItemId,
}

/// `eventData` of `notification:update|delete` on the notification topic: a change or cancellation
/// of released occurrences, as far as their deliveries are pending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionData {
    /// Source of the item: `reminder` or `notification`.
    pub source: String,
    /// Ids of the occurrences, 32 hexadecimal characters each.
    pub occurrences: Vec<uuid::fmt::Simple>,
    /// New content; `None` if the occurrences are cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<NotifyContent>,
    /// Reason why the occurrences are cancelled; absent in messages of 2.0.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonCode>,
}

/// `eventData` of `notification:reconcile` on the notification topic: a released occurrence without
/// a known outcome. The ledger republishes its outcomes. If the ledger does not know the
/// occurrence, it is sent, or ends as given here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReconcileData {
    /// Id of the occurrence, 32 hexadecimal characters.
    pub occurrence_id: uuid::fmt::Simple,
    /// Source: `reminder` or `notification`.
    pub source: String,
    /// Time at which the occurrence is due.
    pub due_at: DateTime<Utc>,
    /// Send for an occurrence that the ledger does not know; `None` if it has expired or was
    /// cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<SendData>,
    /// Outcome if the ledger does not know the occurrence and nothing is sent.
    pub otherwise: Unknown,
}

words! {
    /// Outcome of an occurrence that the ledger does not know.
    Unknown {
        /// Failed: its message was lost between the services, and it expired meanwhile.
        LostInTransit = "LOST_IN_TRANSIT",
        /// Suppressed: the occurrence was cancelled.
        Cancelled = "CANCELLED",
    }
}

/// `eventData` of `notification:send`: one due occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendData {
    /// Id of the occurrence, 32 hexadecimal characters.
    pub occurrence_id: uuid::fmt::Simple,
    /// Source of the item: `reminder`, or `notification` for a command of another service.
    pub source: String,
    /// Item of the occurrence (the same as `itemId` of the body).
    pub item_id: ItemId,
    /// Time at which the occurrence is due.
    pub due_at: DateTime<Utc>,
    /// Date of the instance that the occurrence belongs to.
    pub date: DateTime<Utc>,
    /// Time from which on it is no longer sent.
    pub expires_at: DateTime<Utc>,
    /// Time of the version of the item, by which occurrences from before and after an erasure of
    /// the user are distinguished; messages of 2.0.0 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_changed_at: Option<DateTime<Utc>>,
    /// Time at which the occurrence was known to be up to date. If its message is put into the
    /// queue much later, as in an outage, the occurrence waits for changes that may be in transit.
    /// Messages of 2.0.0 do not have this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<DateTime<Utc>>,
    /// Reason why the occurrence ended without a send: it is only recorded. It has expired by
    /// `expiresAt`, so that earlier versions do not send it either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<ReasonCode>,
    /// Content of the notification.
    #[serde(flatten)]
    pub content: NotifyContent,
}
