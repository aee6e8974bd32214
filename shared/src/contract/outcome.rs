//! `eventData` of `notification:sent|failed|suppressed|deferred`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{content::Channel, event_type::EventType};

words! {
    /// Where a delivery stands.
    DeliveryState {
        /// Not decided yet.
        Pending = "pending",
        /// A provider accepted it.
        Sent = "sent",
        /// It failed for good.
        Failed = "failed",
        /// It is not to be made.
        Suppressed = "suppressed",
        /// It waits for the end of quiet hours.
        Deferred = "deferred",
    }
}

impl DeliveryState {
    /// The event that tells of it; none for [`DeliveryState::Pending`].
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

/// How the delivery of one occurrence on one channel to one device stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeData {
    /// The occurrence, 32 hexadecimal characters.
    pub occurrence_id: uuid::fmt::Simple,
    /// Who asked for it: `reminder` or `notification`.
    pub source: String,
    /// The channel; none when the occurrence ended before channels were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// The device of a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<uuid::fmt::Simple>,
    /// How it stands.
    pub state: DeliveryState,
    /// The end that was told of this delivery before: it turned out otherwise, and this one takes
    /// its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<DeliveryState>,
    /// Told again, for whoever did not hear it: the event's id is that of the first time, its
    /// `occurredAt` may not be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retold: bool,
    /// Why, as a stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// The time of delivery that was asked for.
    pub due_at: DateTime<Utc>,
    /// Time at which the version of the item that it follows was made. What was asked for before
    /// its user was erased is told from what was asked for after by it; messages of 2.0.0 have
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_changed_at: Option<DateTime<Utc>>,
    /// When it came to stand so.
    pub at: DateTime<Utc>,
    /// Of `deferred`: the end of the quiet hours, when it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The provider's id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_message_id: Option<String>,
    /// How many deliveries the occurrence has in all, so that its end can be told.
    pub deliveries: i32,
}
