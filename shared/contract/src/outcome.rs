//! `eventData` of `notification:sent|failed|suppressed|deferred`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{content::Channel, event_type::EventType, reason::ReasonCode};

words! {
    /// State of a delivery.
    DeliveryState {
        /// No outcome yet.
        Pending = "pending",
        /// A provider accepted the delivery.
        Sent = "sent",
        /// The delivery failed for good.
        Failed = "failed",
        /// The delivery is not made.
        Suppressed = "suppressed",
        /// The delivery waits for the end of quiet hours.
        Deferred = "deferred",
    }
}

impl DeliveryState {
    /// Returns the event type that reports the state; `None` for [`DeliveryState::Pending`].
    #[must_use]
    pub const fn event_type(self) -> Option<EventType> {
        match self {
            Self::Pending => None,
            Self::Sent => Some(EventType::NotificationSent),
            Self::Failed => Some(EventType::NotificationFailed),
            Self::Suppressed => Some(EventType::NotificationSuppressed),
            Self::Deferred => Some(EventType::NotificationDeferred),
        }
    }
}

/// State of the delivery of one occurrence on one channel to one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeData {
    /// Id of the occurrence, 32 hexadecimal characters.
    pub occurrence_id: uuid::fmt::Simple,
    /// Source: `reminder` or `notification`.
    pub source: String,
    /// Channel; `None` if the occurrence ended before its channels were considered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Device of a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<uuid::fmt::Simple>,
    /// State of the delivery.
    pub state: DeliveryState,
    /// Final state that was published before and that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<DeliveryState>,
    /// `true` if the outcome is republished: the event's id is that of the first publication, its
    /// `occurredAt` may differ.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub republished: bool,
    /// Reason code; absent if the delivery was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonCode>,
    /// Number of attempts.
    pub attempts: i32,
    /// Time at which the occurrence was due.
    pub due_at: DateTime<Utc>,
    /// Time at which the item's version was made. It distinguishes requests before the user's
    /// erasure from those after it; absent in messages of 2.0.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_changed_at: Option<DateTime<Utc>>,
    /// Time of the state.
    pub at: DateTime<Utc>,
    /// End of the quiet hours, for `deferred`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Id of the message at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_message_id: Option<String>,
    /// Number of deliveries of the occurrence: when all of them have an outcome, so has the
    /// occurrence.
    pub deliveries: i32,
}
