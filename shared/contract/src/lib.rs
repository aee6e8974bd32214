//! The messages between services: their bodies and attributes, and reading both in either envelope,
//! from this suite and from its predecessor.

#[macro_use]
mod words;
pub mod bounds;
mod content;
mod envelope;
mod event_type;
mod ids;
pub mod json_problem;
mod message;
mod outcome;
pub mod pack;
mod reason;
mod schedule;
pub mod text;
mod traceparent;

pub use bounds::{Bounds, OutOfBounds};
pub use content::{
    ChangedOccurrence, Channel, ErasedData, FoldPolicy, GapPolicy, NotifyContent, Priority,
    ReconcileData, Recurrence, ReminderData, RevisionData, SendData, Snooze, Unknown,
};
pub use envelope::{DecodeError, Envelope, Event, Schema};
pub use event_type::EventType;
pub use ids::{ItemId, MalformedId, event_id_of, new_id, occurrence_id};
pub use message::{MAX_ATTRIBUTES, Message, RawMessage};
pub use outcome::{DeliveryState, OutcomeData};
pub use reason::{Reason, ReasonCode};
pub use schedule::{NoDeliverySchedule, schedule, stored_schedule};
pub use traceparent::{MalformedTraceparent, Traceparent};

/// `eventItemType` of events of a reminder.
pub const ITEM_REMINDER: &str = "reminder";
/// `eventItemType` of events of a notification.
pub const ITEM_NOTIFICATION: &str = "notification";
/// `eventItemType` of events of a device.
pub const ITEM_DEVICE: &str = "device";
/// `eventItemType` of events of a user.
pub const ITEM_USER: &str = "user";
