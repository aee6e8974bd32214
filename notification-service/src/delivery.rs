//! A delivery: one occurrence, on one channel, to one device or mailbox.

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use shared::{
    contract::{Channel, DeliveryState, SendData},
    telemetry::Traceparent,
};
use uuid::Uuid;

use crate::device::{DeviceType, Token};

/// Why a delivery was not made, as it is stored, published and answered.
pub mod reason {
    /// The user has no device that is registered and alive.
    pub const NO_DEVICE: &str = "NO_DEVICE";
    /// The device was removed, or turned out dead, before the message was sent.
    pub const DEVICE_GONE: &str = "DEVICE_GONE";
    /// No mail address is known, or what is known is none.
    pub const NO_ADDRESS: &str = "NO_ADDRESS";
    /// The mail address bounced for good, or its owner complained.
    pub const ADDRESS_SUPPRESSED: &str = "ADDRESS_SUPPRESSED";
    /// Its time had passed.
    pub const EXPIRED: &str = "EXPIRED";
    /// The user does not want anything on this channel.
    pub const OPTED_OUT: &str = "OPTED_OUT";
    /// What it belongs to was deleted or changed before it was sent.
    pub const CANCELLED: &str = "CANCELLED";
    /// This version of the service cannot read the stored payload or device.
    pub const UNREADABLE: &str = "UNREADABLE";
    /// The provider's own reason could not be stored.
    pub const UNRECORDABLE: &str = "UNRECORDABLE";
    /// A later occurrence of the same item waits for the end of the same quiet hours, and is sent
    /// in its place.
    pub const MISSED: &str = "MISSED";
    /// The user has more due than is sent to one user in a minute; it waits for its turn.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// It comes late, as after an outage, and waits a few seconds for changes that may be under
    /// way.
    pub const AWAITING_CHANGES: &str = "AWAITING_CHANGES";
    /// It waits until the provider's quota of 24 hours has room again.
    pub const DAILY_QUOTA_EXCEEDED: &str = "DAILY_QUOTA_EXCEEDED";
    /// It waits for the end of the user's quiet hours.
    pub const QUIET_HOURS: &str = "QUIET_HOURS";

    /// The provider accepted it, and the mailbox then refused it for good.
    pub const BOUNCED: &str = "BOUNCED";
    /// The provider accepted it, and could then not fill in its own template.
    pub const RENDERING_FAILED: &str = "RENDERING_FAILED";
    /// The provider accepted it, and then would not send it.
    pub const REJECTED_BY_PROVIDER: &str = "REJECTED_BY_PROVIDER";

    /// Returns whether a delivery with this reason was told as sent before.
    #[must_use]
    pub fn is_correction(reason: &str) -> bool {
        [BOUNCED, RENDERING_FAILED, REJECTED_BY_PROVIDER].contains(&reason)
    }

    /// Whether a delivery that ends for this reason is suppressed, however often it was tried
    /// before: nobody wants it any more.
    #[must_use]
    pub fn is_unwanted(reason: &str) -> bool {
        [EXPIRED, OPTED_OUT, CANCELLED].contains(&reason)
    }

    /// The reason as it was stored with a delivery that is not to be made any more.
    #[must_use]
    pub fn withdrawn(stored: &str) -> &'static str {
        if stored == OPTED_OUT { OPTED_OUT } else { CANCELLED }
    }
}

/// What makes a delivery unique.
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
    /// The order in which whoever changes several deliveries takes them, so that no two wait for
    /// each other.
    #[must_use]
    pub fn order(&self) -> (Uuid, &'static str, Uuid) {
        (self.occurrence_id, self.channel.as_str(), self.device_id)
    }
}

/// An occurrence as the scheduler released it; shared by its deliveries.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// Whom it is for.
    pub user_id: String,
    /// Where the user's e-mail goes.
    pub user_email: Option<String>,
    /// The item's version.
    pub version: i64,
    /// What is to be sent.
    pub send: SendData,
    /// How many deliveries it has.
    pub deliveries: i32,
    /// The trace it belongs to.
    pub traceparent: Option<Traceparent>,
    /// When its message came; `None` where it is read from the ledger.
    pub arrival: Option<Arrival>,
}

/// Times of the message that asks for an occurrence.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// As of which the occurrence is known to be wanted as it is, if the message says so.
    pub as_of: Option<DateTime<Utc>>,
    /// At which it was put into the queue.
    pub queued_at: DateTime<Utc>,
}

impl Dispatch {
    /// The occurrence's id.
    #[must_use]
    pub fn occurrence_id(&self) -> Uuid {
        self.send.occurrence_id.into_uuid()
    }
}

/// Where a delivery goes.
#[derive(Debug, Clone)]
pub enum Address {
    /// To a device.
    Device {
        /// Its token.
        token: Token,
        /// Its kind.
        device_type: DeviceType,
        /// Its version when the token was read: a verdict on the token counts only while it is the
        /// same.
        version: i64,
    },
    /// To a mailbox.
    Mailbox(String),
    /// Nowhere: it went away, for this reason, after the delivery was written.
    Gone(&'static str),
}

/// A delivery that is to be made now, by whoever holds its fence.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Which one it is.
    pub key: DeliveryKey,
    /// What it delivers.
    pub dispatch: Arc<Dispatch>,
    /// Where to.
    pub address: Address,
    /// Attempts made before.
    pub attempts: i32,
    /// When the first of them began.
    pub first_attempt_at: Option<DateTime<Utc>>,
    /// Proves that nobody else has claimed it since.
    pub fence: i32,
    /// The end of the quiet hours that it waited for.
    pub deferred_until: Option<DateTime<Utc>>,
}

/// What is to be recorded of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is at its end.
    Ended {
        /// `sent`, `failed` or `suppressed`.
        state: DeliveryState,
        /// Why.
        reason: Option<Cow<'static, str>>,
        /// The provider's id of the message.
        provider_message_id: Option<String>,
    },
    /// It is tried again at this time.
    Again {
        /// Not before.
        at: DateTime<Utc>,
        /// What the attempt met; none when no attempt was made.
        reason: Option<Cow<'static, str>>,
    },
}

/// What became of a delivery that was claimed.
#[derive(Debug)]
pub struct Record {
    /// The delivery.
    pub delivery: Delivery,
    /// Its verdict.
    pub verdict: Verdict,
    /// Attempts made, the last included.
    pub attempts: i32,
    /// When the attempt began; none when none was made.
    pub started_at: Option<DateTime<Utc>>,
    /// When the verdict was reached.
    pub at: DateTime<Utc>,
    /// The provider said that the device's token is dead.
    pub token_is_dead: bool,
}

impl Record {
    /// The state that is stored.
    #[must_use]
    pub fn state(&self) -> DeliveryState {
        match self.verdict {
            Verdict::Ended { state, .. } => state,
            Verdict::Again { .. } => DeliveryState::Pending,
        }
    }

    /// Leaves out what a provider said, where it may be what the store refuses.
    pub fn leave_out_words(&mut self) {
        match &mut self.verdict {
            Verdict::Ended { reason, provider_message_id, .. } => {
                *reason = reason.take().map(|_| reason::UNRECORDABLE.into());
                *provider_message_id = None;
            }
            Verdict::Again { reason, .. } => {
                *reason = reason.take().map(|_| reason::UNRECORDABLE.into())
            }
        }
    }

    /// The reason that is stored.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Ended { reason, .. } | Verdict::Again { reason, .. } => reason.as_deref(),
        }
    }
}

/// The digest by which a mail address is known as suppressed; the case of its letters does not
/// matter.
#[must_use]
pub fn address_digest(address: &str) -> Vec<u8> {
    Sha256::digest(address.trim().to_ascii_lowercase().as_bytes()).to_vec()
}
