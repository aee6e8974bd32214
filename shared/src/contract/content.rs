//! `eventData` of reminders, of commands for notifications, and of what is due.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::ItemId;

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
    /// How urgent a reminder is.
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
    /// What to do with an occurrence whose local time does not exist (a clock change forward).
    #[derive(Default)]
    GapPolicy {
        /// Shift it by the length of the gap (RFC 5545's reading).
        #[default]
        Shift = "shift",
        /// Leave it out.
        Skip = "skip",
    }
}

words! {
    /// What to do with an occurrence whose local time exists twice (a clock change back).
    #[derive(Default)]
    FoldPolicy {
        /// The earlier instant (RFC 5545's reading).
        #[default]
        First = "first",
        /// The later instant.
        Second = "second",
        /// Both.
        Both = "both",
    }
}

/// A rule by which a reminder recurs, in wall-clock time of its zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recurrence {
    /// An RFC 5545 RRULE value, such as `FREQ=DAILY;COUNT=3`.
    pub rrule: String,
    /// Occurrences left out, as local date-times.
    #[serde(default)]
    pub exdates: Vec<String>,
    /// For local times that do not exist.
    #[serde(default)]
    pub gap: GapPolicy,
    /// For local times that exist twice.
    #[serde(default)]
    pub fold: FoldPolicy,
}

/// What a notification says and how: the part that travels unchanged from the reminder to the
/// device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifyContent {
    /// The channels, in alphabetical order, none twice.
    pub channels: Vec<Channel>,
    /// A short heading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text.
    pub message: String,
    /// What a tap opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The client's own pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// BCP 47 language of the texts around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The IANA zone in which its time is written.
    pub time_zone: String,
    /// After the time of delivery it is no longer sent.
    pub expires_after_minutes: i32,
}

/// `eventData` of `reminder:created|updated` and of `notification:create|update` (schema 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReminderData {
    /// When it is due (DTSTART of a recurring one).
    pub date: DateTime<Utc>,
    /// Minutes before `date` at which to notify; at least one.
    pub notify_offsets: Vec<i32>,
    /// How it recurs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
    /// An occurrence that comes once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snooze: Option<Snooze>,
    /// Occurrences up to this one are acknowledged: nothing of them is delivered any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<DateTime<Utc>>,
    /// What it says.
    #[serde(flatten)]
    pub content: NotifyContent,
}

/// An occurrence that its user put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snooze {
    /// The occurrence.
    pub date: DateTime<Utc>,
    /// When it is delivered once more.
    pub until: DateTime<Utc>,
}

/// `eventData` of `user:erased`. The body's `itemId` is the receipt's id; what happened up to
/// `occurredAt` is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErasedData {
    /// The receipt that the user was given.
    pub receipt_id: ItemId,
}

/// `eventData` of `notification:update|delete` on the notification topic: what becomes of
/// occurrences that were released already, where their deliveries have not been made yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionData {
    /// Who asked for them: `reminder` or `notification`.
    pub source: String,
    /// The occurrences, each 32 hexadecimal characters.
    pub occurrences: Vec<uuid::fmt::Simple>,
    /// What they now say; none when they are not to be delivered any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<NotifyContent>,
}

/// `eventData` of `notification:reconcile` on the notification topic: an occurrence that was
/// released and whose end is not known. The ledger tells again what it knows of it; what it does
/// not know is sent, or told as it is said here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReconcileData {
    /// The occurrence, 32 hexadecimal characters.
    pub occurrence_id: uuid::fmt::Simple,
    /// The source: `reminder` or `notification`.
    pub source: String,
    /// The time of delivery.
    pub due_at: DateTime<Utc>,
    /// The send for an occurrence that the ledger does not know; none if it has expired or was
    /// taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<SendData>,
    /// Why it ends where the ledger does not know it and nothing is sent.
    pub otherwise: Unknown,
}

words! {
    /// The end of an occurrence that the ledger does not know.
    Unknown {
        /// It failed: its message was lost between the services, and it expired meanwhile.
        LostInTransit = "LOST_IN_TRANSIT",
        /// It is not to be made: it was taken back.
        Cancelled = "CANCELLED",
    }
}

/// `eventData` of `notification:send`: one occurrence that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendData {
    /// The occurrence's identity, 32 hexadecimal characters.
    pub occurrence_id: uuid::fmt::Simple,
    /// Who asked for it: `reminder`, or `notification` for a command of another service.
    pub source: String,
    /// The item it belongs to (the same as the body's `itemId`).
    pub item_id: ItemId,
    /// The time of delivery.
    pub due_at: DateTime<Utc>,
    /// What it reminds of.
    pub date: DateTime<Utc>,
    /// After this it is no longer sent.
    pub expires_at: DateTime<Utc>,
    /// Time at which the version of the item that it follows was made. What was asked for before
    /// its user was erased is told from what was asked for after by it; messages of 2.0.0 have
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_changed_at: Option<DateTime<Utc>>,
    /// Time as of which it is known to be wanted as it is. What reaches the queue long after it, as
    /// in an outage, waits for changes that may be under way; messages of 2.0.0 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<DateTime<Utc>>,
    /// What it says.
    #[serde(flatten)]
    pub content: NotifyContent,
}
