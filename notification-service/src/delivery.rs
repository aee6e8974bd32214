//! Delivery: one occurrence, on one channel, to one device or mailbox.

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, Utc};
use contract::{Channel, DeliveryState, SendData, Traceparent};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::device::{DeviceType, Token};

/// Reason codes of deliveries, as they are stored, published and returned by the API.
pub mod reason {
    /// The user has no registered device with a live token.
    pub const NO_DEVICE: &str = "NO_DEVICE";
    /// The device was removed, or its token became invalid, before the message was sent.
    pub const DEVICE_GONE: &str = "DEVICE_GONE";
    /// No mail address is known, or the known one is invalid.
    pub const NO_ADDRESS: &str = "NO_ADDRESS";
    /// The mail address bounced permanently, or its owner complained.
    pub const ADDRESS_SUPPRESSED: &str = "ADDRESS_SUPPRESSED";
    /// The delivery expired.
    pub const EXPIRED: &str = "EXPIRED";
    /// The user switched this channel off.
    pub const OPTED_OUT: &str = "OPTED_OUT";
    /// The reminder was deleted or changed before the delivery was sent.
    pub const CANCELLED: &str = "CANCELLED";
    /// This version of the service cannot read the stored payload or device.
    pub const UNREADABLE: &str = "UNREADABLE";
    /// A later occurrence of the same item is deferred by the same quiet hours, and is sent
    /// instead.
    pub const MISSED: &str = "MISSED";
    /// The user has more due than is sent to one user in a minute; the delivery waits.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// The occurrence was released late, as after an outage; the delivery waits a few seconds for
    /// changes that may be under way.
    pub const AWAITING_CHANGES: &str = "AWAITING_CHANGES";
    /// The provider's quota of 24 hours is used up; the delivery waits.
    pub const DAILY_QUOTA_EXCEEDED: &str = "DAILY_QUOTA_EXCEEDED";
    /// The delivery waits for the end of the user's quiet hours.
    pub const QUIET_HOURS: &str = "QUIET_HOURS";

    /// The provider accepted the e-mail, and the mailbox then refused it permanently.
    pub const BOUNCED: &str = "BOUNCED";
    /// The provider accepted the e-mail, and could then not render its template.
    pub const RENDERING_FAILED: &str = "RENDERING_FAILED";
    /// The provider accepted the e-mail, and then did not send it.
    pub const REJECTED_BY_PROVIDER: &str = "REJECTED_BY_PROVIDER";

    /// Returns `true` if a delivery with this reason was published as sent before.
    #[must_use]
    pub fn is_correction(reason: &str) -> bool {
        [BOUNCED, RENDERING_FAILED, REJECTED_BY_PROVIDER].contains(&reason)
    }

    /// Returns `true` if a delivery that ends for this reason is suppressed, however often it was
    /// attempted: its user does not want it.
    #[must_use]
    pub fn is_unwanted(reason: &str) -> bool {
        [EXPIRED, OPTED_OUT, CANCELLED].contains(&reason)
    }

    /// Reason of a cancelled delivery, from the reason that was stored when it was cancelled.
    #[must_use]
    pub fn cancellation(stored: &str) -> &'static str {
        if stored == OPTED_OUT { OPTED_OUT } else { CANCELLED }
    }
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
    Gone(&'static str),
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
        reason: Option<Cow<'static, str>>,
        /// Provider's id of the message.
        provider_message_id: Option<String>,
    },
    /// The delivery waits for another attempt.
    Pending {
        /// Time before which it is not attempted.
        next_attempt_at: DateTime<Utc>,
        /// Reason for which the attempt failed; `None` if no attempt was made.
        reason: Option<Cow<'static, str>>,
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

    /// Removes the text of the provider, which the database may refuse. A reason is a listed code.
    pub fn remove_provider_text(&mut self) {
        if let NewState::Final { provider_message_id, .. } = &mut self.new_state {
            *provider_message_id = None;
        }
    }

    /// Reason that is stored.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &self.new_state {
            NewState::Final { reason, .. } | NewState::Pending { reason, .. } => reason.as_deref(),
        }
    }
}

/// Digest by which a mail address is stored as suppressed; it ignores the case of letters.
#[must_use]
pub fn address_digest(address: &str) -> Vec<u8> {
    Sha256::digest(address.trim().to_ascii_lowercase().as_bytes()).to_vec()
}
