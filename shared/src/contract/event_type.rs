//! The kinds of events on the two topics.

use std::{fmt, str::FromStr};

use super::{ITEM_DEVICE, ITEM_NOTIFICATION, ITEM_REMINDER, ITEM_USER};

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What a message tells or commands (`eventType`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType { $($(#[$doc])* $variant,)* }

        impl EventType {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl FromStr for EventType {
            type Err = UnknownEventType;

            fn from_str(text: &str) -> Result<Self, UnknownEventType> {
                match text { $($text => Ok(Self::$variant),)* _ => Err(UnknownEventType) }
            }
        }
    };
}

/// A name that no event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown event type")]
pub struct UnknownEventType;

event_types! {
    /// A reminder was made.
    ReminderCreated = "reminder:created",
    /// A reminder was changed.
    ReminderUpdated = "reminder:updated",
    /// A reminder was deleted.
    ReminderDeleted = "reminder:deleted",
    /// Any service asks for a notification.
    NotificationCreate = "notification:create",
    /// Any service changes a notification it asked for.
    NotificationUpdate = "notification:update",
    /// Any service takes a notification back.
    NotificationDelete = "notification:delete",
    /// event-service keeps a new notification.
    NotificationCreated = "notification:created",
    /// event-service changed a notification.
    NotificationUpdated = "notification:updated",
    /// event-service deleted a notification.
    NotificationDeleted = "notification:deleted",
    /// An occurrence is due.
    NotificationSend = "notification:send",
    /// Question about an occurrence that was released and has not ended.
    NotificationReconcile = "notification:reconcile",
    /// A provider accepted a delivery.
    NotificationSent = "notification:sent",
    /// A delivery failed for good.
    NotificationFailed = "notification:failed",
    /// A delivery is not to be made (opt-out, bounced address, no device, expired).
    NotificationSuppressed = "notification:suppressed",
    /// A delivery waits for the end of quiet hours.
    NotificationDeferred = "notification:deferred",
    /// A device was registered or refreshed.
    DeviceRegistered = "device:registered",
    /// A device was removed by its user.
    DeviceRemoved = "device:removed",
    /// A provider said that a device's address is dead.
    DeviceInvalidated = "device:invalidated",
    /// A user is to be erased everywhere.
    UserErased = "user:erased",
}

impl EventType {
    /// The kind of item it concerns (`eventItemType`).
    #[must_use]
    pub const fn item_type(self) -> &'static str {
        match self {
            Self::ReminderCreated | Self::ReminderUpdated | Self::ReminderDeleted => ITEM_REMINDER,
            Self::DeviceRegistered | Self::DeviceRemoved | Self::DeviceInvalidated => ITEM_DEVICE,
            Self::UserErased => ITEM_USER,
            _ => ITEM_NOTIFICATION,
        }
    }

    /// Whether it is event-service's own fact, which it need not consume.
    #[must_use]
    pub const fn is_event_service_fact(self) -> bool {
        matches!(
            self,
            Self::NotificationCreated | Self::NotificationUpdated | Self::NotificationDeleted
        )
    }

    /// Returns whether the type is on the notification topic alone.
    #[must_use]
    pub const fn is_for_sender(self) -> bool {
        matches!(self, Self::NotificationSend | Self::NotificationReconcile)
    }

    /// Whether it tells how a delivery ended or that it waits.
    #[must_use]
    pub const fn is_outcome(self) -> bool {
        matches!(
            self,
            Self::NotificationSent
                | Self::NotificationFailed
                | Self::NotificationSuppressed
                | Self::NotificationDeferred
        )
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for event_type in EventType::ALL {
            assert_eq!(event_type.as_str().parse(), Ok(*event_type));
        }
    }
}
