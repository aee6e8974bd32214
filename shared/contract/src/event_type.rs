//! Types of events on the two topics.

use std::{fmt, str::FromStr};

use super::{ITEM_DEVICE, ITEM_NOTIFICATION, ITEM_REMINDER, ITEM_USER};

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Type of an event or command (`eventType`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType { $($(#[$doc])* $variant,)* }

        impl EventType {
            /// All types.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name on the wire.
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

/// Error for an unknown event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown event type")]
pub struct UnknownEventType;

event_types! {
    /// A reminder was created.
    ReminderCreated = "reminder:created",
    /// A reminder was changed.
    ReminderUpdated = "reminder:updated",
    /// A reminder was deleted.
    ReminderDeleted = "reminder:deleted",
    /// A service requests a notification.
    NotificationCreate = "notification:create",
    /// A service changes a notification that it requested.
    NotificationUpdate = "notification:update",
    /// A service cancels a notification.
    NotificationDelete = "notification:delete",
    /// event-service stored a new notification.
    NotificationCreated = "notification:created",
    /// event-service changed a notification.
    NotificationUpdated = "notification:updated",
    /// event-service deleted a notification.
    NotificationDeleted = "notification:deleted",
    /// An occurrence is due.
    NotificationSend = "notification:send",
    /// event-service asks for the outcome of a released occurrence.
    NotificationReconcile = "notification:reconcile",
    /// A provider accepted a delivery.
    NotificationSent = "notification:sent",
    /// A delivery failed permanently.
    NotificationFailed = "notification:failed",
    /// A delivery is suppressed (opt-out, bounced address, no device, expired).
    NotificationSuppressed = "notification:suppressed",
    /// A delivery is deferred until the end of quiet hours.
    NotificationDeferred = "notification:deferred",
    /// A device was registered or refreshed.
    DeviceRegistered = "device:registered",
    /// A device was removed by its user.
    DeviceRemoved = "device:removed",
    /// A provider reported that the address of a device is invalid.
    DeviceInvalidated = "device:invalidated",
    /// A user is to be erased everywhere.
    UserErased = "user:erased",
}

impl EventType {
    /// Type of the item that the event concerns (`eventItemType`).
    #[must_use]
    pub const fn item_type(self) -> &'static str {
        match self {
            Self::ReminderCreated | Self::ReminderUpdated | Self::ReminderDeleted => ITEM_REMINDER,
            Self::DeviceRegistered | Self::DeviceRemoved | Self::DeviceInvalidated => ITEM_DEVICE,
            Self::UserErased => ITEM_USER,
            _ => ITEM_NOTIFICATION,
        }
    }

    /// Returns whether event-service publishes the type itself and need not consume it.
    #[must_use]
    pub const fn is_event_service_fact(self) -> bool {
        matches!(
            self,
            Self::NotificationCreated | Self::NotificationUpdated | Self::NotificationDeleted
        )
    }

    /// Returns whether the type is published to the notification topic only.
    #[must_use]
    pub const fn is_for_sender(self) -> bool {
        matches!(self, Self::NotificationSend | Self::NotificationReconcile)
    }

    /// Returns whether the type reports the outcome or the deferral of a delivery.
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
    fn reads_every_name_back() {
        for event_type in EventType::ALL {
            assert_eq!(event_type.as_str().parse(), Ok(*event_type));
        }
    }
}
