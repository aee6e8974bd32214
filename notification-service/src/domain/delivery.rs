//! Delivery: one occurrence, on one channel, to one device or mailbox.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use contract::{Channel, DeliveryState, Reason, SendData, Traceparent};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::{
    device::{DeviceType, Token},
    email_address::in_ascii,
};

/// Reasons for which a delivery is cancelled.
const CANCELLATIONS: [Reason; 8] = [
    Reason::Deleted,
    Reason::Edited,
    Reason::Acknowledged,
    Reason::Snoozed,
    Reason::Erased,
    Reason::Cancelled,
    Reason::OptedOut,
    Reason::Missed,
];

/// Returns the reason of a cancellation from the code that was stored or received. Without a code,
/// as in rows and messages of earlier versions, and with one that only a later version knows, it is
/// [`Reason::Cancelled`].
#[must_use]
pub fn cancellation_reason(code: Option<&str>) -> Reason {
    let reason = code.and_then(|code| code.parse().ok());
    reason.filter(|reason| CANCELLATIONS.contains(reason)).unwrap_or(Reason::Cancelled)
}

/// Returns `true` if a delivery that ends for this reason is suppressed, however often it was
/// attempted: its user does not want it.
#[must_use]
pub fn is_unwanted(reason: Reason) -> bool {
    reason == Reason::Expired || CANCELLATIONS.contains(&reason)
}

/// Returns `true` if a delivery with this reason was published as sent before.
#[must_use]
pub fn is_correction(reason: Reason) -> bool {
    matches!(reason, Reason::Bounced | Reason::RenderingFailed | Reason::RejectedByProvider)
}

/// Key of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryKey {
    /// The occurrence.
    pub occurrence_id: Uuid,
    /// The channel.
    pub channel: Channel,
    /// The device of a push; the nil UUID for e-mail.
    pub device_id: Uuid,
}

impl DeliveryKey {
    /// Order in which every transaction that changes several deliveries locks them, so that no two
    /// transactions wait for each other.
    #[must_use]
    pub fn order(&self) -> (Uuid, &'static str, Uuid) {
        (self.occurrence_id, self.channel.as_str(), self.device_id)
    }
}

/// Occurrence as the scheduler released it; shared by its deliveries.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// User who receives it.
    pub user_id: String,
    /// Mail address of the user.
    pub user_email: Option<String>,
    /// Version of the item.
    pub version: i64,
    /// Content and times.
    pub send: SendData,
    /// Number of its deliveries.
    pub deliveries: i32,
    /// Trace that it belongs to.
    pub traceparent: Option<Traceparent>,
    /// Times of the message that brought it; `None` if it was read from the ledger.
    pub arrival: Option<Arrival>,
}

/// Times of the message that brought an occurrence.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Time at which the occurrence was known to be up to date, if the message names it.
    pub as_of: Option<DateTime<Utc>>,
    /// Time at which the message was put into the queue.
    pub queued_at: DateTime<Utc>,
}

impl Dispatch {
    /// Id of the occurrence.
    #[must_use]
    pub fn occurrence_id(&self) -> Uuid {
        self.send.occurrence_id.into_uuid()
    }
}

/// Address of a delivery.
#[derive(Debug, Clone)]
pub enum Address {
    /// A device.
    Device {
        /// Token of the device.
        token: Token,
        /// Type of the device.
        device_type: DeviceType,
        /// Version of the device when the token was read: a token that turns out dead invalidates
        /// the device only in this version.
        version: i64,
    },
    /// A mailbox.
    Mailbox(String),
    /// The address was removed after the delivery was written, for this reason.
    Gone(Reason),
}

/// Claimed delivery, which the holder of its fence token may send.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Key of the delivery.
    pub key: DeliveryKey,
    /// Occurrence that it delivers.
    pub dispatch: Arc<Dispatch>,
    /// Address.
    pub address: Address,
    /// Number of attempts made before.
    pub attempts: i32,
    /// Time at which the first of them began.
    pub first_attempt_at: Option<DateTime<Utc>>,
    /// Fence token: proves that no other process has claimed it since.
    pub fence: i32,
    /// End of the quiet hours that it was deferred to.
    pub deferred_until: Option<DateTime<Utc>>,
}

/// State of a delivery after it was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewState {
    /// The delivery ended.
    Final {
        /// `sent`, `failed` or `suppressed`.
        state: DeliveryState,
        /// Reason code.
        reason: Option<Reason>,
        /// Provider's id of the message.
        provider_message_id: Option<String>,
    },
    /// The delivery waits for another attempt.
    Pending {
        /// Time before which it is not attempted.
        next_attempt_at: DateTime<Utc>,
        /// Reason for which the attempt failed; `None` if no attempt was made.
        reason: Option<Reason>,
    },
}

/// Result of a claimed delivery, to be written to the ledger.
#[derive(Debug)]
pub struct DeliveryResult {
    /// Claimed delivery.
    pub delivery: Delivery,
    /// New state.
    pub new_state: NewState,
    /// Number of attempts made, the last included.
    pub attempts: i32,
    /// Time at which the attempt began; `None` if none was made.
    pub started_at: Option<DateTime<Utc>>,
    /// Time of the new state.
    pub at: DateTime<Utc>,
    /// `true` if the provider reported the device's token as dead.
    pub token_is_dead: bool,
}

impl DeliveryResult {
    /// State that is stored.
    #[must_use]
    pub fn state(&self) -> DeliveryState {
        match self.new_state {
            NewState::Final { state, .. } => state,
            NewState::Pending { .. } => DeliveryState::Pending,
        }
    }

    /// Removes the text of the provider, which the database may refuse.
    pub fn remove_provider_text(&mut self) {
        if let NewState::Final { provider_message_id, .. } = &mut self.new_state {
            *provider_message_id = None;
        }
    }

    /// Reason that is stored.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self.new_state {
            NewState::Final { reason, .. } | NewState::Pending { reason, .. } => reason,
        }
    }
}

/// Digest by which a mail address is stored as suppressed; it ignores the case of letters. A domain
/// counts in A-labels, in which SES names it when it reports a bounce.
#[must_use]
pub fn address_digest(address: &str) -> Vec<u8> {
    let address = address.trim();
    let written = in_ascii(address).unwrap_or_else(|_| address.to_owned());
    Sha256::digest(written.to_ascii_lowercase().as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppresses_domain_in_both_forms() {
        let reported = address_digest("ada@xn--bcher-kva.example");
        assert_eq!(address_digest("Ada@Bücher.example"), reported);
        assert_ne!(address_digest("ada@bucher.example"), reported);
    }

    #[test]
    fn reads_reason_of_cancellation() {
        for (code, reason) in [
            (Some("SNOOZED"), Reason::Snoozed),
            (Some("OPTED_OUT"), Reason::OptedOut),
            (Some("TIMEOUT"), Reason::Cancelled),
            (Some("FROM_THE_FUTURE"), Reason::Cancelled),
            (None, Reason::Cancelled),
        ] {
            assert_eq!(cancellation_reason(code), reason, "{code:?}");
            assert!(is_unwanted(cancellation_reason(code)), "{code:?}");
        }
        assert!(!is_unwanted(Reason::DeviceGone));
    }
}
